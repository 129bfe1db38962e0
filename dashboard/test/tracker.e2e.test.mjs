// Tests the tracker (floodmark.js) in a real Chromium: in pages of another origin, under a strict policy, with
// a real server that goes away and comes back, without storage, and in pages that close at once.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { startProxy } from '../../tests/sdk/proxy.mjs';
import { entries, openShop, policyFor, rows, sentAll, stored } from './shop.mjs';
import { PERSON, WAIT_MS, launchBrowser, makeDataDir, removeDataDir, startServer } from './support.mjs';

let browser;
let shop;
let dir;
let dataDir;
let config;
let server;
let context;

/** The server by a name that it was not told of, as senders may call it. */
const address = () => `http://events.example:${new URL(server.url).port}`;

/** The attributes of the tag, with the public key and others. */
const tag = (more = '', key = 'web-key') => `src="${address()}/floodmark.js" data-key="${key}" ${more}`;

before(async () => {
  browser = await launchBrowser(
    '--host-resolver-rules=MAP *.example 127.0.0.1',
    '--disable-features=LocalNetworkAccessChecks',
  );
  shop = await openShop();
});

after(async () => {
  await browser?.close();
  shop?.close();
});

beforeEach(async () => {
  dir = await makeDataDir();
  dataDir = join(dir, 'data');
  config = join(dir, 'floodmark.toml');
  await writeFile(
    config,
    `[[source]]
     name = "web"
     key = "web-key"
     public = true
     allowed_origins = ["${shop.url}"]
     [[source]]
     name = "anywhere"
     key = "any-key"
     public = true`,
  );
  server = await startServer({ dataDir, config });
  context = await browser.newContext({ userAgent: PERSON });
  shop.body = '';
  shop.headers = { 'content-security-policy': policyFor(address()) };
  shop.tag = tag();
});

afterEach(async () => {
  await context.close();
  await server.kill();
  await removeDataDir(dir);
});

const restart = async () => (server = await startServer({ dataDir, listen: server.listen, config }));
const types = (found) => found.map(({ type }) => type).sort();
/** Where the numbers of the marks stand that `track('mark', {n})` sent: sorted, so that a double shows. */
const marks = (found) => found.filter(({ type }) => type === 'mark').map(({ properties }) => properties.n);
const track = (page, n) => page.evaluate((n) => window.floodmark.track('mark', { n }), n);

async function opened(path = '/') {
  const page = await context.newPage();
  page.wrong = [];
  page.on('pageerror', (error) => page.wrong.push(String(error)));
  page.on('console', (message) => page.wrong.push(message.text()));
  await page.goto(shop.url + path);
  return page;
}

test('page views, calls and errors of a page of another origin come under a strict policy', async () => {
  const referrer = 'https://search.example/results?q=private';
  const page = await context.newPage();
  await page.goto(`${shop.url}/mug?utm_source=mail&token=secret`, { referer: referrer });
  await page.evaluate(() => {
    history.replaceState({}, '', '/mug?color=red');
    history.pushState({}, '', '/cart');
    window.floodmark.userId = 'u1';
    window.floodmark.track('purchase', { amount: 19.99, currency: 'USD' }, { id: 'order:1' });
    window.floodmark.push(['late']);
  });
  await page.goBack();
  await page.evaluate(() => {
    setTimeout(() => {
      throw new TypeError('no such mug');
    });
    Promise.reject(new RangeError('too many mugs'));
  });
  await sentAll(page);

  const found = await stored(dataDir, 8);
  assert.deepEqual(types(found), [
    'early',
    'error',
    'error',
    'late',
    'page_view',
    'page_view',
    'page_view',
    'purchase',
  ]);
  const views = found.filter(({ type }) => type === 'page_view').map(({ properties }) => JSON.stringify(properties));
  // Two of them may be of one millisecond, so they come in any order.
  assert.deepEqual(views.sort(), [
    '{"path":"/cart"}',
    '{"path":"/mug","referrer":"https://search.example/results","utm_source":"mail"}',
    '{"path":"/mug"}',
  ]);
  const errors = found.filter(({ type }) => type === 'error').map(({ properties }) => properties);
  assert.deepEqual(errors.map(({ code, message, path }) => `${code} ${message} ${path}`).sort(), [
    'RangeError too many mugs /mug',
    'TypeError Uncaught TypeError: no such mug /mug',
  ]);
  assert.equal(new Set(found.map(({ sessionId }) => sessionId)).size, 1);
  assert.ok(found.every(({ source, dialect }) => source === 'web' && dialect === 'native'));
  assert.equal(found.find(({ type }) => type === 'purchase').userId, 'u1');
  assert.equal(found.find(({ type }) => type === 'early').userId, null);
  assert.ok(!JSON.stringify(found).includes('secret') && !JSON.stringify(found).includes('private'));
});

test('an automated browser is a bot, whose orders count all the same', async () => {
  const automated = await browser.newContext();
  for (const [visitor, label] of [
    [automated, true],
    [context, undefined],
  ]) {
    const page = await visitor.newPage();
    await page.goto(`${shop.url}/mug`);
    await page.evaluate(() => window.floodmark.track('purchase', { amount: 5 }));
    await sentAll(page);
    const found = await stored(dataDir, label ? 3 : 6);
    const labels = (of) => found.filter(({ type }) => type === of).map(({ properties }) => properties.$bot);
    // Both views are there, the one of the bot first.
    assert.deepEqual(labels('page_view'), label ? [true] : [true, undefined]);
    assert.deepEqual(labels('purchase'), label ? [undefined] : [undefined, undefined]);
  }
  await automated.close();
  const current = await (await fetch(`${server.url}/api/analytics/current`)).json();
  assert.deepEqual([current.pageViews, current.purchases, current.metrics.bots], [1, 2, 2], JSON.stringify(current));
});

test('a page that is closed at once is counted once', async () => {
  const page = await opened('/closing');
  await page.evaluate(() => {
    window.floodmark.track('mark', { n: 1 });
    location.href = 'about:blank';
  });
  assert.deepEqual(types(await stored(dataDir, 3)), ['early', 'mark', 'page_view']);
  // The next page does not know whether the beacon of the last one arrived, and sends again what it had.
  const next = await opened('/next');
  await sentAll(next);
  const found = await stored(dataDir, 5);
  assert.deepEqual(types(found), ['early', 'early', 'mark', 'page_view', 'page_view']);
  assert.deepEqual(next.wrong, []);

  const closed = await opened('/tab');
  await closed.evaluate(() => window.floodmark.track('mark', { n: 2 }));
  await closed.close();
  assert.deepEqual(marks(await stored(dataDir, 8)), [1, 2]);
});

test('what happens while the server is away comes once it is back, from open and from closed pages', async () => {
  const open = await opened('/open');
  await sentAll(open);
  await server.kill();
  await track(open, 1);
  const closed = await opened('/closed').catch(() => null);
  assert.ok(closed, 'the page itself is elsewhere');
  // The tracker comes from the browser's cache.
  await track(closed, 2);
  await closed.close();
  await track(open, 3);
  await restart();
  await sentAll(open);
  const found = await stored(dataDir, 7);
  assert.deepEqual(marks(found), [1, 2, 3]);
  assert.deepEqual(types(found), ['early', 'early', 'mark', 'mark', 'mark', 'page_view', 'page_view']);
});

test('what a page has left behind is sent by the next one', async () => {
  const page = await opened('/left');
  await sentAll(page);
  await server.kill();
  await track(page, 1);
  await page.close();
  await restart();
  const next = await opened('/found');
  await sentAll(next);
  const found = await stored(dataDir, 5);
  assert.deepEqual(marks(found), [1]);
  assert.equal(found.length, 5);
});

test('a retry has the same ids, so what arrived without an answer counts once', async () => {
  // Each failure in a row doubles the pause, so one that passes comes between.
  const faults = ['reset-after', '503', '429', 'pass', '500', 'reset-before'];
  const proxy = await startProxy(server.url, faults);
  shop.headers = {};
  shop.tag = tag(`data-server="${proxy.url}"`);
  const page = await opened('/spoilt');
  await page.evaluate(() => window.floodmark.track('mark', { n: 'mk-o-1' }));
  await sentAll(page);
  await page.evaluate(() => window.floodmark.track('mark', { n: 'mk-o-2' }));
  await sentAll(page);
  const tries = proxy.requests.filter(({ marks }) => marks.length);
  proxy.stop();
  assert.equal(tries.length, faults.length + 1);
  // The page has its answer once the events are in the log; the store has them a moment later.
  const found = await stored(dataDir, 4);
  assert.deepEqual(marks(found), ['mk-o-1', 'mk-o-2']);
  assert.deepEqual(types(found), ['early', 'mark', 'mark', 'page_view']);
});

test('what was handed over long ago is not sent again, since the server might count it again', async () => {
  shop.tag = '';
  const before = await opened('/before');
  await before.evaluate(() => {
    const leave = (minutes, n, type = 'mark') => {
      const at = Date.now() - minutes * 60_000;
      const id =
        at
          .toString(16)
          .padStart(12, '0')
          .replace(/(.{8})/, '$1-') +
        '-7000-8000-00000000000' +
        n;
      // The first number says when it was handed over; 0 is never.
      const event = JSON.stringify({ type, timestamp: at, id, properties: { n, amount: 1 } });
      localStorage.setItem('floodmark:web-key:' + id, (n === 3 ? 0 : at) + event);
    };
    leave(5, 1);
    leave(11, 2);
    leave(3_000, 3);
    leave(4_000, 4, 'purchase');
    leave(5_000, 5, 'refund');
  });
  shop.tag = tag();
  const page = await opened('/after');
  await sentAll(page);
  const found = await stored(dataDir, 5);
  assert.deepEqual(marks(found), [3, 1]);
  assert.deepEqual(types(found), ['early', 'mark', 'mark', 'page_view', 'purchase']);
});

test('what the server refuses for good is not sent again', async () => {
  shop.tag = tag('', 'wrong-key');
  const requests = [];
  context.on('request', (request) => requests.push(request.url()));
  const page = await opened();
  await sentAll(page);
  assert.deepEqual(rows(dataDir), []);
  assert.equal(requests.filter((url) => url.includes('/v1/events')).length, 1);
});

test('nothing is sent or kept for a visitor who asks not to be tracked, where the page honours that', async () => {
  for (const [property, value] of [
    ['doNotTrack', '1'],
    ['globalPrivacyControl', true],
  ]) {
    const asking = await browser.newContext({ userAgent: PERSON });
    await asking.addInitScript(
      ([property, value]) => Object.defineProperty(Navigator.prototype, property, { get: () => value }),
      [property, value],
    );
    const page = await asking.newPage();
    const requests = [];
    asking.on('request', (request) => requests.push(request.url()));
    shop.tag = tag('data-dnt');
    await page.goto(`${shop.url}/quiet`);
    await track(page, 1);
    await page.evaluate(() => window.floodmark.push(['mark', { n: 2 }]));
    assert.equal(await page.evaluate(() => localStorage.length), 0);
    await page.goto('about:blank');
    assert.equal(requests.filter((url) => url.includes('/v1/')).length, 0);

    shop.tag = tag();
    await page.goto(`${shop.url}/counted`);
    await track(page, property);
    await sentAll(page);
    const kept = await page.evaluate(() => localStorage.getItem('floodmark'));
    assert.equal(kept === null, property === 'globalPrivacyControl');
    await asking.close();
  }
  const found = await stored(dataDir, 6);
  assert.deepEqual(marks(found), ['doNotTrack', 'globalPrivacyControl']);
  // With Global Privacy Control nobody is recognised, and nothing is kept to do so.
  const known = found.filter(({ sessionId }) => sessionId);
  assert.deepEqual(marks(known), ['doNotTrack']);
});

test('where storage is full, events are sent all the same', async () => {
  const page = await opened('/?full');
  assert.equal((await entries(page)).length, 0);
  await track(page, 1);
  assert.deepEqual(types(await stored(dataDir, 3)), ['early', 'mark', 'page_view']);
  await track(page, 2);
  await page.close();
  assert.deepEqual(marks(await stored(dataDir, 4)), [1, 2]);
});

test('without storage, events are sent all the same', async () => {
  shop.headers = { 'content-security-policy': 'sandbox allow-scripts' };
  shop.tag = tag('', 'any-key');
  const page = await opened('/sandboxed');
  assert.equal(await page.evaluate(() => origin), 'null');
  await track(page, 1);
  await stored(dataDir, 3);
  await track(page, 2);
  await page.close();
  const found = await stored(dataDir, 4);
  assert.deepEqual(marks(found), [1, 2]);
  assert.equal(new Set(found.map(({ sessionId }) => sessionId)).size, 1);

  shop.headers = {};
  shop.tag = tag('data-storage="off"');
  const modest = await opened('/modest');
  await track(modest, 3);
  assert.deepEqual(marks(await stored(dataDir, 7)), [1, 2, 3]);
  assert.equal(await modest.evaluate(() => localStorage.length), 0);
});

test('the queue is bounded, and the oldest events leave it', async () => {
  shop.tag = tag('data-max-queue="3" data-page-views="off" data-errors="off"');
  const page = await opened();
  await sentAll(page);
  await server.kill();
  for (const n of [1, 2, 3, 4, 5]) await track(page, n);
  const left = (await entries(page)).sort().map(([, entry]) => JSON.parse(entry.replace(/^\d+/, '')).properties.n);
  assert.deepEqual(left, [3, 4, 5]);
  await page.evaluate(() => void Promise.reject(new Error('not counted')));
  await restart();
  await sentAll(page);
  const found = await stored(dataDir, 4);
  assert.deepEqual(marks(found), [3, 4, 5]);
  assert.deepEqual(types(found), ['early', 'mark', 'mark', 'mark']);
  // The two that left unsent are told, once.
  const told = /^floodmark_tracker_events_lost_total (\d+)$/m;
  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  assert.equal(told.exec(metrics)?.[1], '2');
});

test('large events and many of them come, in several requests', async () => {
  const page = await opened('/much');
  await page.evaluate(() => {
    for (let n = 0; n < 300; n++) window.floodmark.track('mark', { n, text: 'ü'.repeat(100) });
    window.floodmark.track('large', { text: 'x'.repeat(60_000) });
  });
  await page.close();
  const next = await opened('/after');
  await sentAll(next);
  const found = await stored(dataDir, 305);
  assert.equal(found.length, 305);
  assert.equal(new Set(marks(found)).size, 300);
  assert.equal(types(found).filter((type) => type === 'large').length, 1);
});

test('a page without scripts has the pixel, which also shows where the event is refused', async () => {
  const query = 'type=page_view&path=%2Fplain&key=web-key';
  const refused = 'type=purchase&key=web-key';
  shop.tag = '';
  shop.body = `<noscript><img id="good" src="${address()}/v1/pixel.gif?${query}">
    <img id="bad" src="${address()}/v1/pixel.gif?${refused}"></noscript>`;
  shop.headers = { ...shop.headers, 'cross-origin-embedder-policy': 'require-corp' };
  const plain = await browser.newContext({ javaScriptEnabled: false, userAgent: PERSON });
  const page = await plain.newPage();
  const statuses = [];
  page.on('response', (response) => response.url().includes('pixel') && statuses.push(response.status()));
  await page.goto(shop.url);
  await page.waitForLoadState('load');
  for (const image of ['#good', '#bad']) {
    const box = await page.locator(image).boundingBox({ timeout: WAIT_MS });
    assert.deepEqual([box.width, box.height], [1, 1], image);
  }
  assert.deepEqual(statuses.sort(), [200, 422]);
  await plain.close();
  const [view] = await stored(dataDir, 1);
  assert.deepEqual(
    [view.type, view.properties, view.source, view.dialect],
    ['page_view', { path: '/plain' }, 'web', 'pixel'],
  );
  assert.match(view.sessionId, /^[0-9a-f]{32}$/);
});
