// Tests in a real Chromium what a guest sees who may not see money: a dash with a word in the place of each
// amount, everything else as others have it, and no digit of an amount in what the browser gets.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
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
  serverPath,
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

const run = (...args) =>
  execFileSync(serverPath(), [...args, '--data-dir', dataDir], { encoding: 'utf8', stdio: 'pipe' }).trim();

/** Opens a link in a browser of its own, and notes all that it gets. */
async function guest(name, flags, colorScheme) {
  const address = run('links', 'add', name, ...flags, '--base', server.url);
  const context = await browser.newContext({ colorScheme, viewport: { width: 1440, height: 900 } });
  const page = await context.newPage();
  const got = { frames: [], answers: [], errors: [] };
  page.on('websocket', (socket) => socket.on('framereceived', ({ payload }) => got.frames.push(String(payload))));
  page.on('response', async (answer) => {
    if (answer.url().includes('/api/')) got.answers.push(await answer.text().catch(() => ''));
  });
  page.on('pageerror', (error) => got.errors.push(String(error)));
  // All nodes know a link within two seconds; until then it is refused, and the page asks for a token.
  const known = async () => {
    const { link } = Object.fromEntries(new URLSearchParams(new URL(address).hash.slice(1)));
    const asked = await fetch(`${server.url}/api/login/link`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ link }),
    });
    return asked.status === 200;
  };
  for (const until = Date.now() + WAIT_MS; !(await known());) {
    assert.ok(Date.now() < until, 'the link is never known');
    await new Promise((done) => setTimeout(done, 50));
  }
  await page.goto(address);
  await connectionIs(page, 'live');
  return { context, page, got };
}

const sell = (...amounts) =>
  post(
    server.url,
    amounts.map((amount) => ({ type: 'purchase', sessionId: 's1', properties: { amount, currency: 'USD' } })),
  );

for (const colorScheme of ['light', 'dark']) {
  test(`a guest without money sees dashes and all else, in ${colorScheme}`, async () => {
    if (colorScheme === 'light') run('users', 'add', 'alice', '--role', 'admin');
    const before = colorScheme === 'light' ? 0 : 3;
    await sell(48151.62, 34217.39);
    const { context, page, got } = await guest(`tv-${colorScheme}`, ['--hide-money'], colorScheme);
    await sell(73921.58);
    await cardIs(page, 'purchases', String(before + 3));

    const revenue = page.getByTestId('card-revenue');
    for (const card of [revenue, page.getByTestId('card-averageOrder')]) {
      const value = card.getByTestId('value');
      await value.getByText('hidden').waitFor({ timeout: WAIT_MS });
      assert.equal(await value.getAttribute('data-value'), '');
      assert.match(await value.innerText(), /^–\s+hidden$/);
      assert.match((await value.locator('[title]').getAttribute('title')) ?? '', /hidden/);
    }
    assert.match(await revenue.innerText(), /Purchases by minute/);
    // The title follows by a timer.
    await page.waitForFunction((start) => document.title.startsWith(start), `${before + 3} purchases · `);

    const text = [await page.content(), ...got.frames, ...got.answers].join('\n').replaceAll(',', '');
    assert.ok(got.frames.length > 1 && got.answers.some((answer) => answer.includes('"hidden"')));
    // The amounts, and what they come to: after each of the orders, and on average.
    const digits = ['48151.62', '34217.39', '73921.58', '82369.01', '156290.59', '52096.8', '312581.18', '4815162'];
    for (const amount of digits) assert.ok(!text.includes(amount), amount);
    assert.deepEqual(got.errors, []);
    await context.close();
  });
}

test('a guest who may see money sees it', async () => {
  const { context, page, got } = await guest('office', [], 'light');
  await cardIs(page, 'revenue', '312581.18');
  assert.match(await page.getByTestId('card-revenue').innerText(), /By minute/);
  assert.ok(
    got.frames.some((frame) => frame.includes('312581.18')),
    'so the search above would find it',
  );
  await context.close();
});
