// A shop for the tests of the tracker: its pages come from an origin of their own, under a strict policy, and
// what the server has stored is read from its file.

import { execFileSync } from 'node:child_process';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { WAIT_MS } from './support.mjs';

/** What the pages may load and ask: the server of events, and their own script. */
export const policyFor = (server) =>
  `default-src 'none'; script-src 'self' ${server}; connect-src ${server}; img-src data: ${server}; ` +
  `require-trusted-types-for 'script'; base-uri 'none'`;

/** The page's own script: what a test has the page do, before the tracker is there. */
const SHOP_SCRIPT = `window.floodmark = [['early', { n: 1 }]];
if (location.search.includes('full')) {
  let text = 'x'.repeat(1 << 20);
  while (text) try { localStorage.setItem('shop' + localStorage.length, text); } catch { text = text.slice(text.length / 2 + 1); }
}`;

/**
 * Serves pages of `http://shop.example:PORT` on any path. `tag` are the attributes of the tracker's tag,
 * `headers` those of the page; a test sets both before it opens a page.
 */
export async function openShop() {
  const shop = { tag: '', body: '', headers: {} };
  const server = createServer((request, response) => {
    if (request.url === '/shop.js') {
      return response.writeHead(200, { 'content-type': 'text/javascript' }).end(SHOP_SCRIPT);
    }
    const script = shop.tag && `<script src="/shop.js"></script><script ${shop.tag}></script>`;
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8', ...shop.headers });
    response.end(`<!doctype html><link rel="icon" href="data:,"><title>Shop</title>${script}<p>Mugs</p>${shop.body}`);
  });
  await new Promise((started) => server.listen(0, '127.0.0.1', started));
  shop.url = `http://shop.example:${server.address().port}`;
  shop.close = () => {
    server.closeAllConnections();
    server.close();
  };
  return shop;
}

const READ_ROWS = `import json, sqlite3, sys
rows = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True).execute(
    "SELECT type, session_id, user_id, properties, source, dialect FROM events ORDER BY time")
names = ("type", "sessionId", "userId", "properties", "source", "dialect")
print(json.dumps([dict(zip(names, row)) for row in rows]))`;

/** All events that the server with this data dir has stored, by their time. */
export function rows(dataDir) {
  const text = execFileSync('python3', ['-c', READ_ROWS, join(dataDir, 'floodmark.db')]).toString();
  return JSON.parse(text).map((row) => ({ ...row, properties: JSON.parse(row.properties) }));
}

/** All events, once there are as many as a test expects. */
export async function stored(dataDir, expected) {
  const end = Date.now() + WAIT_MS;
  for (;;) {
    const found = rows(dataDir);
    if (found.length >= expected || Date.now() > end) return found;
    await new Promise((done) => setTimeout(done, 100));
  }
}

/** The entries of localStorage that are the tracker's, in the page. */
export const entries = (page) =>
  page.evaluate(() => Object.entries(localStorage).filter(([name]) => name.startsWith('floodmark:')));

/** Waits until the page has nothing left to send. */
export const sentAll = (page) =>
  page.waitForFunction(() => !Object.keys(localStorage).some((name) => name.startsWith('floodmark:')), null, {
    timeout: WAIT_MS,
  });
