// Tests the time machine in a real Chromium, against the real server: at a moment of the past every figure is that of
// the moment, whichever way one came there; it plays on, and one key leads back to now.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import {
  cardIs,
  connectionIs,
  faultsEverywhere,
  launchBrowser,
  makeDataDir,
  newPage,
  post,
  removeDataDir,
  startServer,
} from './support.mjs';

const MINUTE_MS = 60_000;

let browser;
let dataDir;
let server;
/** A full minute, shortly before the tests began. */
let start;

const sale = (minutesAgo, amount, country) => ({
  type: 'purchase',
  timestamp: start - minutesAgo * MINUTE_MS,
  sessionId: `s${minutesAgo}`,
  properties: { amount, currency: 'USD', country },
});

before(async () => {
  browser = await launchBrowser();
  dataDir = await makeDataDir();
  server = await startServer({ dataDir: join(dataDir, 'data') });
  start = Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS;
  // 20 until half an hour ago, 25 since ten minutes ago, and one more now.
  await post(server.url, [sale(30, 8, 'DE'), sale(30, 12, 'DE'), sale(10, 5, 'FR')]);
  await post(server.url, [{ type: 'purchase', sessionId: 'now', properties: { amount: 1, currency: 'USD' } }]);
});

after(async () => {
  await browser?.close();
  await server?.kill();
  if (dataDir) await removeDataDir(dataDir);
});

async function open(path, options) {
  const opened = await newPage(browser, options);
  await opened.page.goto(server.url + path);
  return opened;
}

const ago = (minutes) => new Date(start - minutes * MINUTE_MS).toISOString().replace('.000', '');
const at = (page) => new URL(page.url()).searchParams.get('at');
const momentIs = (page, time) => page.locator(`[data-testid=moment][data-there=true][data-time="${time}"]`).waitFor();
const isLive = (page) => page.waitForFunction(() => !new URLSearchParams(location.search).has('at'));
const row = (page, breakdown, value, count) =>
  page
    .locator(`[data-testid="breakdown-${breakdown}"] tr[data-value="${value}"][data-count="${count}"]`)
    .waitFor({ state: 'attached' });

test('an address names a moment, and every figure is of it, until Escape', async () => {
  const { context, page, errors } = await open(`/?at=${ago(20)}`);
  await momentIs(page, ago(20));
  await connectionIs(page, 'past');
  await cardIs(page, 'revenue', '20');
  await cardIs(page, 'purchases', '2');
  // What is asked beside the stream is of the moment, too: the average, and the values of the last 15 minutes.
  await cardIs(page, 'averageOrder', '10');
  await row(page, 'purchase-country', 'DE', 2);
  assert.equal(await page.locator('[data-testid="breakdown-purchase-country"] tr[data-value="FR"]').count(), 0);
  await page.waitForFunction(() => document.title.includes('Not live'));
  assert.match(await page.getByTestId('card-revenue').innerText(), /as of .* 2\d min ago/);
  assert.deepEqual(await faultsEverywhere(page), []);
  await page.reload();
  await momentIs(page, ago(20));
  await cardIs(page, 'revenue', '20');

  await page.keyboard.press('Escape');
  await isLive(page);
  await connectionIs(page, 'live');
  await cardIs(page, 'revenue', '26');
  await cardIs(page, 'averageOrder', '6.5');
  await row(page, 'purchase-country', 'FR', 1);
  await page.goBack();
  await cardIs(page, 'revenue', '20');
  assert.deepEqual(errors, []);
  await context.close();
});

test('keys, the mouse and a click on a chart lead to moments', async () => {
  const { context, page, errors } = await open('/');
  await connectionIs(page, 'live');
  const scrubber = page.getByTestId('scrubber');
  await scrubber.focus();
  await page.keyboard.press('PageDown');
  await page.getByTestId('moment').waitFor();
  await cardIs(page, 'revenue', '20');
  const before = Date.parse(at(page));
  await page.keyboard.press('ArrowLeft');
  await page.waitForFunction(
    (was) => Date.parse(new URLSearchParams(location.search).get('at')) === was - 60_000,
    before,
  );
  await page.keyboard.press('Home');
  await cardIs(page, 'revenue', '0');
  await page.keyboard.press('End');
  await isLive(page);
  await cardIs(page, 'revenue', '26');

  // A quarter of the day from its beginning is about six in the morning, before anything was sold.
  const box = await scrubber.boundingBox();
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width / 4, box.y + box.height / 2, { steps: 8 });
  await page.mouse.up();
  await cardIs(page, 'purchases', '0');
  await page.getByRole('button', { name: /Back to live/ }).click();
  await isLive(page);
  await cardIs(page, 'purchases', '4');

  const chart = page.locator('.hour .u-over').first();
  await chart.scrollIntoViewIfNeeded();
  const bars = await chart.boundingBox();
  // The middle of the hour is half an hour ago.
  await chart.click({ position: { x: bars.width * 0.66, y: bars.height / 2 } });
  await page.getByTestId('moment').waitFor();
  await cardIs(page, 'revenue', '20');
  assert.deepEqual(errors, []);
  await context.close();
});

test('the past plays, and comes to now by itself', async () => {
  const { context, page, errors } = await open(`/?at=${ago(13)}`);
  await cardIs(page, 'revenue', '20');
  await page.getByRole('button', { name: 'Play at 60 times the speed' }).click();
  await cardIs(page, 'revenue', '25');
  await page.getByRole('button', { name: 'Pause' }).click();
  await page.waitForFunction(() => document.querySelector('[data-testid=moment]')?.dataset.there === 'true');
  assert.ok(Date.parse(at(page)) > Date.parse(ago(13)), 'the address has gone along');
  await page.getByRole('button', { name: 'Play at 60 times the speed' }).click();
  await isLive(page);
  await connectionIs(page, 'live');
  await cardIs(page, 'revenue', '26');
  assert.deepEqual(errors, []);
  await context.close();
});
