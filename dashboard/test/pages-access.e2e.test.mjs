// Tests in a real Chromium that an address leads to its page through every way in, and that a guest gets no more of
// it than the link is for.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import {
  WAIT_MS,
  connectionIs,
  launchBrowser,
  makeDataDir,
  newPage,
  post,
  removeDataDir,
  serverPath,
  startServer,
} from './support.mjs';

const PASSWORD = 'correct horse battery';

let browser;
let dataDir;
let server;

const run = (args, input = '') => {
  const at = ['--data-dir', join(dataDir, 'data'), '--config', join(dataDir, 'floodmark.toml')];
  return execFileSync(serverPath(), [...args, ...at], { encoding: 'utf8', stdio: 'pipe', input }).trim();
};

before(async () => {
  browser = await launchBrowser();
  dataDir = await makeDataDir();
  const config = join(dataDir, 'floodmark.toml');
  await writeFile(config, '[auth]\nviewer_tokens = ["watcher"]\n');
  run(['users', 'add', 'alice', '--role', 'admin', '--password-stdin'], `${PASSWORD}\n`);
  server = await startServer({ dataDir: join(dataDir, 'data'), config });
  const amounts = [48151.62, 34217.39];
  await post(
    server.url,
    amounts.map((amount) => ({ type: 'purchase', sessionId: 's1', properties: { amount, currency: 'USD' } })),
  );
});

after(async () => {
  await browser?.close();
  await server?.kill();
  if (dataDir) await removeDataDir(dataDir);
});

async function open(address) {
  const { context, page } = await newPage(browser);
  const answers = [];
  page.on('response', async (answer) => {
    if (answer.url().includes('/api/')) answers.push(await answer.text().catch(() => ''));
  });
  await page.goto(address);
  return { context, page, answers };
}

const sumIs = (page, value) => page.locator(`[data-testid=sum][data-value="${value}"]`).waitFor();
const pathIs = (page, path) => assert.equal(new URL(page.url()).pathname + new URL(page.url()).search, path);

test('whoever signs in is at the address that was opened, also after a reload', async () => {
  const path = '/explore?metric=purchases&range=1h';
  const { context, page } = await open(server.url + path);
  await page.getByLabel('User', { exact: true }).fill('alice');
  await page.getByLabel('Password', { exact: true }).fill(PASSWORD);
  await page.keyboard.press('Enter');
  await sumIs(page, 2);
  await page.reload();
  await sumIs(page, 2);
  pathIs(page, path);
  // The settings have an address, too.
  await page.getByTestId('account').locator('summary').click();
  await page.getByRole('link', { name: 'Access settings' }).click();
  await page.getByRole('heading', { name: 'Access', exact: true }).waitFor();
  pathIs(page, '/settings');
  await page.reload();
  await page.getByTestId('user-alice').waitFor();
  await context.close();
});

test('a token of the address opens the page that is meant, and its files come with it', async () => {
  const { context, page } = await open(`${server.url}/explore?metric=purchases&range=1h#token=watcher`);
  await sumIs(page, 2);
  assert.equal(new URL(page.url()).hash, '');
  const [file] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('link', { name: 'CSV', exact: true }).click(),
  ]);
  assert.match(file.suggestedFilename(), /purchases\.csv/);
  await context.close();
});

/** The address of a page with a link in it, once all nodes know the link. */
async function linkTo(path, name, flags) {
  const address = run(['links', 'add', name, ...flags, '--base', server.url]);
  const { hash } = new URL(address);
  const known = async () => {
    const asked = await fetch(`${server.url}/api/login/link`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ link: new URLSearchParams(hash.slice(1)).get('link') }),
    });
    return asked.status === 200;
  };
  for (const until = Date.now() + WAIT_MS; !(await known());) {
    assert.ok(Date.now() < until, 'the link is never known');
    await new Promise((done) => setTimeout(done, 50));
  }
  return server.url + path + hash;
}

test('a guest is at the page of the link, and is offered what a guest may see', async () => {
  const { context, page } = await open(await linkTo('/explore?range=1h', 'office', []));
  await sumIs(page, 82369.01);
  pathIs(page, '/explore?range=1h');
  const nav = page.getByRole('navigation', { name: 'Pages' });
  await nav.getByRole('link', { name: 'Events' }).waitFor({ state: 'detached' });
  assert.equal(await nav.getByRole('link', { name: 'Sources' }).count(), 1);
  await page.goto(`${server.url}/events`);
  await page.getByText('This is not for you to see').waitFor();
  await page.goto(`${server.url}/sources`);
  await page.getByTestId('schema-purchase').waitFor();
  assert.equal(await page.getByTestId('refused').count(), 0);
  await page.goto(`${server.url}/settings`);
  await page.getByRole('alert').waitFor();
  await context.close();
});

test('a guest without money finds no amount on any page, nor in what the browser gets', async () => {
  const { context, page, answers } = await open(await linkTo('/explore?range=1h', 'lobby', ['--hide-money']));
  await sumIs(page, 2);
  for (const path of ['/explore?metric=revenue', '/explore?metric=average_order_value']) {
    await page.goto(server.url + path);
    await page.getByText('The server does not draw this').waitFor();
  }
  for (const path of ['/events', '/sources']) {
    await page.goto(server.url + path);
    await page.getByText('This is not for you to see').waitFor();
  }
  // The past is no way around it.
  await page.goto(`${server.url}/?at=${new Date(Date.now() - 5_000).toISOString()}`);
  await page.locator('[data-testid=moment][data-there=true]').waitFor();
  await page.getByTestId('card-revenue').getByTestId('value').getByText('hidden').waitFor();
  await page.goto(`${server.url}/incidents`);
  await page.getByText('Nothing has fired').waitFor();
  await connectionIs(page, 'live');
  const text = answers.join('\n');
  for (const amount of ['48151.62', '34217.39', '82369.01']) assert.ok(!text.includes(amount), amount);
  await context.close();
});
