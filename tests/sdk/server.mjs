// A Floodmark server of a test's own, on a free port and an empty data dir.

import { execFile, spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

const here = import.meta.dirname;
const program = process.env.FLOODMARK_BIN ?? path.join(here, '../../target/debug/floodmark');
export const KEY = 'wk_test';
/** What webhooks are signed with. */
export const SECRET = 'whsec_test';

/** Starts a server, and gives its address and what a test asks of it; `more` is of its configuration. */
export async function startServer(more = '') {
  const data = fs.mkdtempSync(path.join(os.tmpdir(), 'floodmark-sdk-'));
  // SDKs that can't send a key send an id: a domain, a website, a site's number, an app.
  const ids = ['shop.example', '94db1cb1-74f4-4a40-ad6c-962362670409', '1', 'shop', 'G-TEST'];
  const config = path.join(data, 'floodmark.toml');
  const source = `[[source]]\nname = 'web'\nkey = '${KEY}'\npublic = true\nids = ${JSON.stringify(ids)}\n`;
  fs.writeFileSync(config, source + more);
  const variables = Object.entries(process.env).filter(([name]) => !name.startsWith('FLOODMARK_'));
  const args = ['serve', '--listen', '127.0.0.1:0', '--data-dir', data, '--config', config];
  const child = spawn(program, args, { env: Object.fromEntries(variables) });
  let said = '';
  child.stderr.on('data', (text) => (said += text));
  const url = await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`the server ended with ${code}: ${said}`)));
    child.stdout.on('data', (text) => {
      const found = /http:\/\/[\d.:]+/.exec(text);
      if (found) resolve(found[0]);
    });
  });
  const stop = async () => {
    child.removeAllListeners('exit');
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
    fs.rmSync(data, { recursive: true, force: true });
  };
  return { url, stop, rows: () => rows(url, data), counts: () => counts(url) };
}

/** Waits until everything that was taken in is stored, and gives all rows. */
async function rows(url, data) {
  for (;;) {
    const { lag } = await (await fetch(`${url}/readyz`)).json();
    // A batch that is open has no lag yet; it is sealed after a fraction of a second.
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    if (lag.store.events === 0 && lag.live.events === 0) break;
  }
  const python = [path.join(here, 'rows.py'), path.join(data, 'floodmark.db')];
  const { stdout } = await promisify(execFile)('python3', python, { maxBuffer: 1 << 28 });
  return JSON.parse(stdout);
}

/** Today's counts by type, as the dashboard has them. */
const counts = async (url) => (await (await fetch(`${url}/api/analytics/current`)).json()).counts;
