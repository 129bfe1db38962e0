// Runs one SDK: a program for Node.js or Python, or a page in Chromium, until it has sent everything.
// Gives what it said.

import { spawn } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { KEY, SECRET } from './server.mjs';

const here = import.meta.dirname;
/** How long an SDK may take. */
const PATIENCE_MS = 120_000;

export function drive(sdk, base, isSettled) {
  return sdk.on === 'browser' ? page(sdk, base, isSettled) : program(sdk, base);
}

function program({ name, on, each }, base) {
  const [command, file] =
    on === 'node' ? [process.execPath, `node/${name}.mjs`] : ['.venv/bin/python', `python/${name}.py`];
  const env = { ...process.env, BASE: base, KEY, SECRET, EACH: String(each), NODE_NO_WARNINGS: '1' };
  const child = spawn(path.isAbsolute(command) ? command : path.join(here, command), [path.join(here, file)], { env });
  return new Promise((resolve, reject) => {
    let said = '';
    child.stdout.on('data', (text) => (said += text));
    child.stderr.on('data', (text) => (said += text));
    const late = setTimeout(() => {
      child.kill('SIGKILL');
      said += `\nit was not done after ${PATIENCE_MS} ms`;
    }, PATIENCE_MS);
    child.once('error', reject);
    child.once('close', (code) => {
      clearTimeout(late);
      const ended = code === 0 ? [] : [`it ended with ${code}`];
      resolve([...said.split('\n').filter((line) => line.trim()), ...ended]);
    });
  });
}

const CHROMIUM_FLAGS = [
  '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
  '--remote-debugging-port=0',
  // Without a window it calls itself HeadlessChrome, which is a bot. These are pages of people.
  '--user-agent=Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36',
  // Nothing but this machine is reached: an SDK that looks for its vendor finds nobody.
  '--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost',
];

function chromium() {
  const names = ['chromium', 'chromium-browser', 'google-chrome'];
  const paths = process.env.PATH.split(':').flatMap((dir) => names.map((name) => path.join(dir, name)));
  const found = paths.find((file) => fs.existsSync(file));
  if (!found) throw new Error('Chromium is missing; install it with: apt-get install chromium');
  return found;
}

async function page({ name, each }, base, isSettled) {
  const esbuild = await import('esbuild');
  const bundled = await esbuild.build({
    entryPoints: [path.join(here, 'browser', `${name}.js`)], bundle: true, write: false, format: 'esm',
    platform: 'browser', logLevel: 'error', define: { 'process.env.NODE_ENV': '"production"', global: 'window' },
  });
  const script = bundled.outputFiles[0].text;
  const said = [];
  let sent;
  const allSent = new Promise((resolve) => (sent = resolve));
  const web = http.createServer((request, response) => {
    let body = '';
    request.on('data', (text) => (body += text));
    request.on('end', () => {
      if (request.url === '/said') {
        if (body === 'sent') sent();
        else said.push(body);
        return response.writeHead(204).end();
      }
      if (request.url === '/sdk.js') {
        return response.writeHead(200, { 'content-type': 'text/javascript' }).end(script);
      }
      response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' });
      // Not in the address, which some SDKs send as the page's: the key would come back among the properties.
      const told = `<script>window.TEST = ${JSON.stringify({ base, key: KEY, each })}</script>`;
      const icon = '<link rel="icon" href="data:,">';
      response.end(`<!doctype html>${icon}<title>Mug</title>${told}<script type="module" src="/sdk.js"></script>`);
    });
  });
  await new Promise((started) => web.listen(0, '127.0.0.1', started));
  const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'floodmark-sdk-page-'));
  const address = `http://localhost:${web.address().port}/product/mug`;
  const browser = spawn(chromium(), [...CHROMIUM_FLAGS, `--user-data-dir=${profile}`, address], {
    stdio: 'ignore', detached: true,
  });
  const late = new Promise((resolve) => setTimeout(resolve, PATIENCE_MS, 'late').unref());
  const isLate = (await Promise.race([allSent.then(isSettled), late])) === 'late';
  if (isLate) said.push(`it was not done after ${PATIENCE_MS} ms`);
  const ended = new Promise((resolve) => browser.once('exit', resolve));
  process.kill(-browser.pid, 'SIGKILL');
  await ended;
  web.closeAllConnections();
  web.close();
  fs.rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  return said;
}
