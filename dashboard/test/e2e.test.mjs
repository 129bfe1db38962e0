// Tests the page against the real server: the numbers follow the events that are posted, and after the
// server was killed and started again, nobody has to reload the page.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import {
  WAIT_MS,
  cardIs,
  connectionIs,
  launchBrowser,
  makeDataDir,
  post,
  removeDataDir,
  startServer,
} from './support.mjs';

let browser;
let dataDir;
let server;

before(async () => {
  browser = await launchBrowser();
  dataDir = await makeDataDir();
  server = await startServer({ dataDir });
});

after(async () => {
  await browser?.close();
  await server?.kill();
  if (dataDir) await removeDataDir(dataDir);
});

const purchase = (amount, sessionId) => ({ type: 'purchase', sessionId, properties: { amount, currency: 'USD' } });
const pageView = (sessionId) => ({ type: 'page_view', sessionId });

test('cards follow the events, and recover by themselves after the server was killed', async () => {
  const page = await browser.newPage();
  const errors = [];
  page.on('pageerror', (error) => errors.push(error));
  await page.goto(server.url);

  await connectionIs(page, 'live');
  await cardIs(page, 'pageViews', '0');
  await page.getByTestId('empty').waitFor();

  await post(server.url, [pageView('s1'), pageView('s2'), purchase(19.99, 's1'), purchase(39.98, 's2')]);
  await cardIs(page, 'pageViews', '2');
  await cardIs(page, 'purchases', '2');
  await cardIs(page, 'revenue', '59.97');
  await cardIs(page, 'activeUsers', '2');
  await cardIs(page, 'errors', '0');
  await cardIs(page, 'errorRate', '0');
  await page.getByTestId('empty').waitFor({ state: 'detached' });

  await post(server.url, [{ type: 'error', sessionId: 's3', properties: { code: 'E42' } }]);
  await cardIs(page, 'errors', '1');
  await cardIs(page, 'errorRate', '0.2');
  await cardIs(page, 'activeUsers', '3');

  const { listen } = server;
  await server.kill();
  await connectionIs(page, 'reconnecting');
  // The last numbers stay on screen, but are no longer shown as live.
  await cardIs(page, 'revenue', '59.97');

  server = await startServer({ dataDir, listen });
  await connectionIs(page, 'live');
  await post(server.url, [purchase(0.03, 's4')]);
  await cardIs(page, 'revenue', '60');
  await cardIs(page, 'purchases', '3');
  await cardIs(page, 'pageViews', '2');
  await cardIs(page, 'errors', '1');

  assert.deepEqual(errors, []);
  await page.close();
});

test('the frames of a browser are deflated', async () => {
  const page = await browser.newPage();
  await page.goto(server.url);
  const [extensions, frames] = await page.evaluate(
    () =>
      new Promise((resolve, reject) => {
        const socket = new WebSocket(`ws://${location.host}/api/analytics/stream`);
        const seen = [];
        socket.onerror = () => reject(new Error('the connection failed'));
        socket.onmessage = ({ data }) => {
          seen.push(JSON.parse(data));
          if (seen.length === 3) resolve([socket.extensions, seen]);
        };
      }),
  );
  assert.match(extensions, /permessage-deflate/);
  assert.deepEqual(
    frames.map((frame) => frame.type),
    ['snapshot', 'delta', 'delta'],
  );
  await page.close();
});

test('an alert is told on top of the page and in its title, and goes when it is over', async () => {
  const dir = await makeDataDir();
  const config = join(dir, 'rules.toml');
  await writeFile(
    config,
    `[[alert]]
     name = 'many_errors'
     title = 'Many errors'
     metric = 'errors'
     severity = 'critical'
     window = '10s'
     above = 3
     for = '1s'
     clear_for = '1s'`,
  );
  const shop = await startServer({ dataDir: join(dir, 'data'), config });
  const page = await browser.newPage();
  // The page asks once when it opens and again a minute later; in between, it has the stream.
  let asked = 0;
  await page.route('**/api/analytics/alerts?*', (route) => {
    asked += 1;
    return asked === 1 ? route.continue() : route.abort();
  });
  await page.goto(shop.url);
  await connectionIs(page, 'live');
  const error = { type: 'error', sessionId: 'a', properties: { code: 'E9' } };
  await post(shop.url, Array(5).fill(error));
  const alert = page.getByTestId('alert-many_errors');
  await alert.getByText('Many errors').waitFor({ timeout: WAIT_MS });
  await page.waitForFunction(() => document.title.includes('Many errors'), null, { timeout: WAIT_MS });
  await alert.waitFor({ state: 'detached', timeout: WAIT_MS });
  await page.unroute('**/api/analytics/alerts?*');
  await page.getByTestId('alert-history').getByText('Many errors').waitFor({ timeout: WAIT_MS });
  await page.close();
  await shop.kill();
  await removeDataDir(dir);
});
