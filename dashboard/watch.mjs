// Serves the page while somebody works on it: its files from the folder they are bundled into, and
// everything else, the stream included, from a Floodmark that runs beside it.
//
//   cargo run -- demo     in one terminal
//   npm run watch         in another; open http://127.0.0.1:8081 and reload after a change
//
// FLOODMARK=host:port names another server than 127.0.0.1:8080.

import { readFile } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import { connect } from 'node:net';
import { join, normalize } from 'node:path';

const PORT = 8081;
const [host, port = '80'] = (process.env.FLOODMARK ?? '127.0.0.1:8080').split(':');

/** The addresses of pages (src/router/address.ts). */
const PAGES = /^\/((explore|incidents|events|sources|settings)(\/.*)?)?$/;

const MEDIA_TYPES = { html: 'text/html', js: 'text/javascript', css: 'text/css', svg: 'image/svg+xml' };

/** A file of the page, or null where it has none of this name. */
async function fileAt(folder, url) {
  const { pathname } = new URL(url, 'http://page');
  const name = PAGES.test(pathname) ? '/index.html' : normalize(pathname);
  const body = await readFile(join(folder, name)).catch(() => null);
  return body && { body, type: MEDIA_TYPES[name.split('.').at(-1)] ?? 'application/octet-stream' };
}

/** Hands a request on. It keeps its Host header, which is what the server compares Origin with. */
function passOn(incoming, outgoing) {
  const { method, url, headers } = incoming;
  const onward = request({ host, port, method, path: url, headers }, (answer) => {
    outgoing.writeHead(answer.statusCode, answer.headers);
    answer.pipe(outgoing);
  });
  onward.on('error', (error) => outgoing.writeHead(502).end(`No Floodmark at ${host}:${port}: ${error.message}\n`));
  incoming.pipe(onward);
}

/** Hands a WebSocket on, as bytes, its handshake written out again. */
function passOnStream({ method, url, rawHeaders }, socket, head) {
  const onward = connect(Number(port), host, () => {
    const lines = [`${method} ${url} HTTP/1.1`];
    for (let at = 0; at < rawHeaders.length; at += 2) lines.push(`${rawHeaders[at]}: ${rawHeaders[at + 1]}`);
    onward.write(`${lines.join('\r\n')}\r\n\r\n`);
    onward.write(head);
    socket.pipe(onward).pipe(socket);
  });
  onward.on('error', () => socket.destroy());
  socket.on('error', () => onward.destroy());
}

export function servePage(folder) {
  const server = createServer(async (incoming, outgoing) => {
    const file = await fileAt(folder, incoming.url);
    if (!file) return passOn(incoming, outgoing);
    outgoing.writeHead(200, { 'content-type': file.type, 'cache-control': 'no-store' }).end(file.body);
  });
  server.on('upgrade', passOnStream);
  server.listen(PORT, '127.0.0.1', () => console.log(`http://127.0.0.1:${PORT}, numbers from ${host}:${port}`));
}
