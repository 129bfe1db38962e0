// Tests the requests that the page makes beside the stream, against the real server: breakdowns, cards,
// metrics of the configuration, and the same hour of another day. The server has a viewer token, so
// every request must carry it.

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

const DAY_MS = 86_400_000;

const CONFIG = `
[auth]
viewer_tokens = ["watcher"]

[[metric]]
name = "paypal_orders"
kind = "count"
event = "purchase"
where = { gateway = "paypal" }
`;

let browser;
let dataDir;
let server;
let page;
const pageErrors = [];

before(async () => {
  browser = await launchBrowser();
  dataDir = await makeDataDir();
  const config = join(dataDir, 'floodmark.toml');
  await writeFile(config, CONFIG);
  server = await startServer({ dataDir, config });
  page = await browser.newPage();
  page.on('pageerror', (error) => pageErrors.push(error));
  await page.goto(server.url);
  await page.getByRole('textbox', { name: 'Token' }).fill('watcher');
  await page.getByRole('button', { name: 'Open' }).click();
  await connectionIs(page, 'live');
});

after(async () => {
  await browser?.close();
  await server?.kill();
  if (dataDir) await removeDataDir(dataDir);
});

const times = (count, event) => Array.from({ length: count }, () => event);
const error = (code, gateway) => ({
  type: 'error',
  sessionId: 's1',
  properties: { code, gateway, path: '/checkout/pay' },
});
const sale = (amount, gateway) => ({
  type: 'purchase',
  sessionId: 's1',
  properties: { amount, currency: 'USD', gateway, country: 'DE' },
});

const attached = (selector) => page.locator(selector).waitFor({ state: 'attached', timeout: WAIT_MS });

const rowIs = (breakdown, value, count) =>
  attached(`[data-testid="breakdown-${breakdown}"] tr[data-value="${value}"][data-count="${count}"]`);

test('breakdowns and cards follow what is posted', async () => {
  await post(server.url, [
    ...times(3, error('E42', 'adyen')),
    error('E7', 'stripe'),
    ...times(4, sale(20, 'paypal')),
    { type: 'page_view', sessionId: 's1', properties: { path: '/sale', referrer: 'newsletter' } },
    { type: 'page_view', sessionId: 's2', properties: { path: '/sale' } },
  ]);
  await rowIs('error-gateway', 'adyen', 3);
  await rowIs('error-code', 'E7', 1);
  await rowIs('error-path', '/checkout/pay', 4);
  await rowIs('purchase-country', 'DE', 4);
  await rowIs('page_view-path', '/sale', 2);
  await rowIs('page_view-referrer', 'newsletter', 1);
  await cardIs(page, 'averageOrder', '20');
  await cardIs(page, 'conversion', '2');
  await cardIs(page, 'checkoutErrorRate', '0.5');
  await attached('[data-testid="metric-paypal_orders"] [data-value="4"]');

  await post(server.url, times(5, error('E7', 'stripe')));
  await rowIs('error-gateway', 'stripe', 6);
  const first = page.locator('[data-testid="breakdown-error-gateway"] tbody tr').first();
  assert.equal(await first.getAttribute('data-value'), 'stripe', 'the largest stands first');
});

test('refunds bring their own cards', async () => {
  assert.equal(await page.getByTestId('card-refunds').count(), 0);
  await post(server.url, [{ type: 'refund', properties: { amount: 30.5, currency: 'USD' } }]);
  await cardIs(page, 'refunds', '30.5');
  await cardIs(page, 'netRevenue', '49.5');
});

test('the other day is drawn once it is known, said to be unknown before, and its choice is kept', async () => {
  await page.getByText('No history of yesterday yet').waitFor({ timeout: WAIT_MS });
  assert.equal(await page.locator('.legend').count(), 0);

  const timestamp = Date.now() - DAY_MS - 5 * 60_000;
  await post(server.url, times(7, { type: 'page_view', timestamp, sessionId: 's9' }));
  await page.locator('.legend', { hasText: 'yesterday' }).first().waitFor({ timeout: WAIT_MS });
  await page.locator('.hour td', { hasText: '7 page views' }).waitFor({ state: 'attached', timeout: WAIT_MS });

  const order = { type: 'purchase', timestamp, sessionId: 's9', properties: { amount: 40, currency: 'USD' } };
  await post(server.url, [order]);
  await page.locator('.tide .legend', { hasText: 'yesterday' }).waitFor({ timeout: WAIT_MS });
  await attached('[data-testid="revenue-then"][data-value="40"]');
  await page.getByTestId('revenue-seconds').click();
  await page.locator('.tide .chart-title', { hasText: 'By second' }).waitFor({ timeout: WAIT_MS });

  await page.getByTestId('baseline-last_week').click();
  await page.getByText('No history of last week yet').waitFor({ timeout: WAIT_MS });
  await page.reload();
  await attached('[data-testid="baseline-last_week"][aria-pressed="true"]');
  await attached('[data-testid="revenue-seconds"][aria-pressed="true"]');
  assert.deepEqual(pageErrors, []);
});
