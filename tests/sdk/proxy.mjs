// Sits before a real server and spoils some of the requests that carry events, always the same ones. It
// notes which events each request had, and how the server answered it.

import http from 'node:http';
import zlib from 'node:zlib';

/** What happens to each request that carries events, in their order; all that follow are passed on. */
export const FAULTS = [
  'pass', '500', 'pass', '429', '503', 'reset-before', 'pass', 'reset-after', 'pass', '503', 'reset-after',
];

/** Drivers write such a mark into each event: its kind (order, refund, error, identify) and its number. */
export const marksIn = (text) => [...new Set(text.match(/mk-[orei]-\d+/g) ?? [])];

/** The bodies of SDKs as text: gzip (said or not), base64 in a form, or as they are. */
function readable(body) {
  if (body[0] === 0x1f && body[1] === 0x8b) return zlib.gunzipSync(body).toString();
  return unwrapped(body.toString());
}

/** A form or a query as text. Mixpanel's SDKs have JSON or base64 in the field `data`. */
function unwrapped(text) {
  const data = /(?:^|[?&])data=([^&]*)/.exec(text)?.[1];
  if (!data) return text;
  const plain = decodeURIComponent(data.replaceAll('+', ' '));
  return /^[[{]/.test(plain) ? plain : Buffer.from(plain, 'base64').toString();
}

/** Starts a proxy to the server at `target`; `faults` as `FAULTS`. */
export async function startProxy(target, faults) {
  const requests = [];
  let spoilt = 0;
  const server = http.createServer((request, response) => {
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks);
      // A beacon of gtag is a POST without a body.
      const sent = body.length > 0 ? readable(body) : unwrapped(request.url);
      const marks = request.method === 'OPTIONS' ? [] : marksIn(sent);
      const fault = marks.length > 0 ? (faults[spoilt++] ?? 'pass') : 'pass';
      const note = { path: request.url, marks, fault, status: null };
      if (marks.length > 0) requests.push(note);
      if (fault === 'reset-before') return request.socket.destroy();
      if (/^\d+$/.test(fault)) return refuse(request, response, Number(fault));
      forward(target, request, body, (answer, text) => {
        note.status = answer.statusCode;
        if (fault === 'reset-after') return request.socket.destroy();
        response.writeHead(answer.statusCode, answer.headers);
        response.end(text);
      });
    });
  });
  await new Promise((started) => server.listen(0, '127.0.0.1', started));
  const stop = () => {
    server.closeAllConnections();
    server.close();
  };
  return { url: `http://127.0.0.1:${server.address().port}`, requests, stop };
}

/** An answer that the server never saw, as a load balancer would give it. */
function refuse(request, response, status) {
  const headers = { 'content-type': 'application/json' };
  if (status !== 500) headers['retry-after'] = '1';
  if (request.headers.origin) {
    headers['access-control-allow-origin'] = request.headers.origin;
    headers['access-control-allow-credentials'] = 'true';
    headers['access-control-expose-headers'] = 'Retry-After';
  }
  response.writeHead(status, headers);
  // Amplitude's SDKs look at the code in the body and not at the status.
  response.end(JSON.stringify({ code: status, message: 'spoilt by the test', error: 'spoilt by the test' }));
}

function forward(target, request, body, then) {
  const { hostname, port } = new URL(target);
  const { method, url: path } = request;
  const out = http.request({ hostname, port, method, path, headers: request.headers, agent: false }, (answer) => {
    const chunks = [];
    answer.on('data', (chunk) => chunks.push(chunk));
    answer.on('end', () => then(answer, Buffer.concat(chunks)));
  });
  out.on('error', () => request.socket.destroy());
  out.end(body);
}
