// Tests in a real Chromium the pages and their addresses, against the real server: each is opened by its address,
// by keyboard and by the browser's back and forward, shows what was posted, and says where it shows nothing.

import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import {
  connectionIs,
  faultsEverywhere,
  launchBrowser,
  makeDataDir,
  newPage,
  post,
  removeDataDir,
  startServer,
} from './support.mjs';

const CONFIG = `[[alert]]
name = 'many_errors'
title = 'Many errors'
metric = 'errors'
severity = 'critical'
window = '10s'
above = 3
for = '1s'
clear_for = '1s'
explain = ['error/gateway']
`;

let browser;
let dataDir;
let server;

before(async () => {
  browser = await launchBrowser();
  dataDir = await makeDataDir();
  const config = join(dataDir, 'rules.toml');
  await writeFile(config, CONFIG);
  server = await startServer({ dataDir: join(dataDir, 'data'), config });
});

after(async () => {
  await browser?.close();
  await server?.kill();
  if (dataDir) await removeDataDir(dataDir);
});

async function open(path, options) {
  const opened = await newPage(browser, options);
  const answer = await opened.page.goto(server.url + path);
  return { ...opened, status: answer.status() };
}

const looksRight = async (page, name) => assert.deepEqual(await faultsEverywhere(page), [], name);

const heading = (page, name) => page.getByRole('heading', { level: 1, name, exact: true });
const query = (page) => new URL(page.url()).searchParams;
const queryIs = (page, name, value) =>
  page.waitForFunction(([key, wanted]) => new URLSearchParams(location.search).get(key) === wanted, [name, value]);

test('an empty shop is told what to do on every page', async () => {
  const { context, page, errors } = await open('/');
  await connectionIs(page, 'live');
  for (const [path, words] of [
    ['/explore', /No event has come in today/],
    ['/incidents', /Nothing has fired/],
    ['/events', /No event in the last 7 days/],
    ['/sources', /Nothing has come in yet/],
  ]) {
    await page.goto(server.url + path);
    await page.getByText(words).waitFor();
    await looksRight(page, `${path}, empty`);
  }
  assert.deepEqual(errors, []);
  await context.close();
});

test('pages are reached by keyboard, by address, and by back and forward', async () => {
  const { context, page, errors } = await open('/');
  await connectionIs(page, 'live');
  const nav = page.getByRole('navigation', { name: 'Pages' });
  await nav.getByRole('link', { name: 'Now' }).focus();
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await heading(page, 'Explore').waitFor();
  assert.equal(new URL(page.url()).pathname, '/explore');
  // A reader goes on from the heading of the new page, and the way shows where one is.
  await page.waitForFunction(() => document.activeElement?.tagName === 'H1');
  assert.equal(await nav.locator('[aria-current=page]').innerText(), 'Explore');
  await page.waitForFunction(() => document.title.includes('Explore'));
  await nav.getByRole('link', { name: 'Sources' }).click();
  await heading(page, 'Sources').waitFor();
  await page.goBack();
  await heading(page, 'Explore').waitFor();
  await page.goBack();
  await page.locator('.board').waitFor();
  await page.goForward();
  await heading(page, 'Explore').waitFor();
  await page.reload();
  await heading(page, 'Explore').waitFor();
  assert.deepEqual(errors, []);
  await context.close();
});

test('what is no page says so, with its status and a way home', async () => {
  const { context, page, status } = await open('/no-such-page');
  assert.equal(status, 404);
  await heading(page, 'There is no such page').waitFor();
  await connectionIs(page, 'live');
  await looksRight(page, 'missing');
  await page.getByRole('link', { name: 'Go to the numbers of now' }).click();
  await page.locator('.board').waitFor();
  assert.equal((await page.goto(`${server.url}/incidents/none`)).status(), 200);
  await heading(page, 'This incident is not known').waitFor();
  await context.close();
});

test('a page whose file can not be loaded says so, and comes when it can', async () => {
  const { context, page } = await open('/');
  await connectionIs(page, 'live');
  await page.route(/\/Explore-.*\.js/, (route) => route.abort());
  await page.getByRole('link', { name: 'Explore' }).click();
  await page.getByText('This page could not be loaded').waitFor();
  await page.unroute(/\/Explore-.*\.js/);
  await page.getByRole('button', { name: 'Load everything anew' }).click();
  await page.getByLabel('Number').waitFor();
  await context.close();
});

const purchase = (amount, country, sessionId) => ({
  type: 'purchase',
  sessionId,
  properties: { amount, currency: 'USD', country },
});

test('Explore: what is chosen stands in the address, and is there after a reload', async () => {
  await post(server.url, [purchase(20, 'DE', 'a'), purchase(30, 'DE', 'b'), purchase(40.5, 'FR', 'c')]);
  const { context, page, errors } = await open('/explore');
  await connectionIs(page, 'live');
  await page.locator('[data-testid=sum][data-value="90.5"]').waitFor();
  await page.getByTestId('range').selectOption('1h');
  await page.getByTestId('compare').selectOption('yesterday');
  await page.getByTestId('by').selectOption('purchase/country');
  await page.locator('[data-testid=values] tr[data-value=DE][data-amount="50"]').waitFor();
  await page.getByText('Nothing is known of the day before.').waitFor();
  await page.reload();
  await page.locator('[data-testid=values] tr[data-value=FR][data-amount="40.5"]').waitFor();
  assert.deepEqual(Object.fromEntries(query(page)), { range: '1h', compare: 'yesterday', by: 'purchase/country' });
  const cells = page.locator('.table-box td[data-value="90.5"]');
  const sum = await page
    .locator('.table-box td[data-value]')
    .evaluateAll((all) => all.reduce((total, cell) => total + Number(cell.dataset.value), 0));
  assert.ok(sum === 90.5 || (await cells.count()) === 1, `the table comes to ${sum}`);
  await looksRight(page, 'explore');

  // The same as a file.
  const [file] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('link', { name: 'CSV', exact: true }).click(),
  ]);
  const csv = await readFile(await file.path(), 'utf8');
  assert.match(csv, /^timestamp,/);
  assert.equal(csv.trim().split('\n').length, 61);

  await page.getByTestId('number').selectOption('type purchase');
  await page.locator('[data-testid=sum][data-value="3"]').waitFor();
  await page.goBack();
  await page.locator('[data-testid=sum][data-value="90.5"]').waitFor();
  // What the server refuses is said in its words.
  await page.goto(`${server.url}/explore?metric=no_such_metric`);
  await page.getByText('The server does not draw this').waitFor();
  await looksRight(page, 'explore, refused');
  assert.deepEqual(errors, []);
  await context.close();
});

test('the zone of the clocks is in the address and goes along', async () => {
  const { context, page } = await open('/explore?range=1h', { timezoneId: 'Australia/Eucla' });
  await connectionIs(page, 'live');
  const first = () => page.locator('.table-box tbody tr').first();
  await first().waitFor();
  const minutes = async () => (await first().locator('th').innerText()).slice(3, 5);
  const before = Number(await minutes());
  await page.getByLabel('Time zone of the clocks').selectOption('Australia/Eucla');
  await queryIs(page, 'zone', 'Australia/Eucla');
  // Its clocks are 8 h 45 min ahead; a minute may have passed meanwhile.
  await page.waitForFunction((was) => {
    const shown = Number(document.querySelector('.table-box tbody th')?.textContent.slice(3, 5));
    return [45, 46].includes((shown - was + 60) % 60);
  }, before);
  await page.getByRole('link', { name: 'Incidents' }).click();
  await heading(page, 'Incidents').waitFor();
  assert.equal(query(page).get('zone'), 'Australia/Eucla');
  await context.close();
});

test('Incidents: from the list to what, why and who, and on to the path of a visitor', async () => {
  const error = (sessionId) => ({ type: 'error', sessionId, properties: { code: 'E9', gateway: 'adyen' } });
  const { context, page, errors } = await open('/incidents');
  await connectionIs(page, 'live');
  await post(server.url, [error('visitor-1'), ...Array(5).fill(error('visitor-2'))]);
  const incident = page.getByTestId('incident-many_errors');
  await incident.getByRole('link', { name: 'Many errors' }).waitFor();
  await looksRight(page, 'incidents');
  await incident.getByRole('link', { name: 'Many errors' }).click();
  await heading(page, 'Many errors').waitFor();
  assert.match(page.url(), /\/incidents\/[0-9a-f-]{36}$/);
  await page.getByTestId('why').getByText('gateway=adyen').first().waitFor();
  const who = page.getByTestId('who');
  await who.getByRole('link', { name: 'visitor-2' }).waitFor();
  assert.equal(await who.getByRole('listitem').first().getByRole('link').innerText(), 'visitor-2');
  await page.locator('.incident-course .chart').waitFor();
  await looksRight(page, 'incident');
  // It is over, and its address still leads to it.
  await page.reload();
  await page.getByText('Known to be over').waitFor();
  await who.getByRole('link', { name: 'visitor-1' }).click();
  await page.getByTestId('path').getByRole('listitem').first().waitFor();
  assert.equal(query(page).get('session'), 'visitor-1');
  await looksRight(page, 'path');
  await page.getByRole('link', { name: 'All events' }).click();
  await page.getByTestId('feed').waitFor();
  assert.deepEqual(errors, []);
  await context.close();
});

test('Events: they come by themselves, a filter stands in the address, and an event opens', async () => {
  const { context, page, errors } = await open('/events');
  await connectionIs(page, 'live');
  await page.getByTestId('feed').waitFor();
  await post(server.url, [purchase(77, 'JP', 'late-visitor')]);
  const row = page.getByTestId('event').filter({ hasText: 'late-visitor' });
  await row.waitFor();
  await row.locator('summary').click();
  await row.getByText('"country": "JP"').waitFor();
  await page.getByText('all that come are shown').waitFor();
  await looksRight(page, 'events');
  await page.getByRole('button', { name: 'Pause' }).click();
  await page.getByText(/^Paused/).waitFor();
  await page.getByRole('button', { name: 'Follow again' }).click();

  await page.getByLabel('Property').fill('no sign in it');
  await page.keyboard.press('Enter');
  await page.getByRole('alert').waitFor();
  await page.getByLabel('Property').fill('country=JP');
  await page.keyboard.press('Enter');
  await queryIs(page, 'where.country', 'JP');
  await page.waitForFunction(() => document.querySelectorAll('[data-testid=event]').length === 1);
  await page.reload();
  await row.waitFor();
  await page.getByRole('button', { name: 'Without country = JP' }).click();
  await page.waitForFunction(() => document.querySelectorAll('[data-testid=event]').length > 1);
  await page.goto(`${server.url}/events?type=nothing_like_it`);
  await page.getByText('No event passes this filter').waitFor();
  assert.deepEqual(errors, []);
  await context.close();
});

test('Sources: what arrives, in which format, and what is refused', async () => {
  await fetch(`${server.url}/v1/events`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify([{ type: 'purchase', properties: { amount: 'a lot' } }]),
  });
  const { context, page, errors } = await open('/sources');
  await connectionIs(page, 'live');
  const schema = page.getByTestId('schema-purchase');
  await schema.locator('summary').click();
  await schema.getByRole('rowheader', { name: 'country' }).waitFor();
  await page.getByTestId('format-native').waitFor();
  await page.getByTestId('refused-invalid_amount').locator('summary').click();
  await page.getByTestId('refused').getByText('a lot').waitFor();
  await page.getByTestId('books').waitFor();
  await looksRight(page, 'sources');
  assert.deepEqual(errors, []);
  await context.close();
});
