// Tests in a real Chromium how people come in and go, and how an admin gives access: by keyboard, in light and
// dark, on a phone, and with axe at each step.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import {
  connectionIs,
  faults,
  launchBrowser,
  makeDataDir,
  newPage,
  removeDataDir,
  serverPath,
  startServer,
} from './support.mjs';

const TOKEN = 'watcher-7f3a';
const PASSWORD = 'correct horse battery';
/** Where pictures go for whoever wants to look at them; none are made where it is not set. */
const PICTURES = process.env.PICTURES_DIR;

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
  await writeFile(config, `[auth]\nviewer_tokens = ["${TOKEN}"]\n`);
  run(['users', 'add', 'alice', '--role', 'admin', '--password-stdin'], `${PASSWORD}\n`);
  run(['users', 'add', 'bob', '--password-stdin'], `${PASSWORD}\n`);
  server = await startServer({ dataDir: join(dataDir, 'data'), config });
});

after(async () => {
  await browser?.close();
  await server?.kill();
  if (dataDir) await removeDataDir(dataDir);
});

const openPage = (options) => newPage(browser, options);

/** What axe finds wrong with the page as it is, in light and in dark; a picture of each, if wanted. */
async function looksRight(page, name) {
  const found = [];
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    for (const fault of await faults(page)) found.push(`${colorScheme}: ${fault}`);
    if (PICTURES) {
      await mkdir(PICTURES, { recursive: true });
      await page.screenshot({ path: join(PICTURES, `${name}-${colorScheme}.png`), fullPage: true });
    }
  }
  assert.deepEqual(found, [], name);
}

async function signIn(page, user, password = PASSWORD) {
  await page.goto(server.url);
  await page.getByLabel('User', { exact: true }).fill(user);
  await page.getByLabel('Password', { exact: true }).fill(password);
  await page.keyboard.press('Enter');
}

/** Presses a button that ends the session, and waits for the new page: until then the old one asks already. */
async function leave(page, button) {
  const anew = page.waitForEvent('load');
  await page.getByRole('button', { name: button, exact: true }).click();
  await anew;
}

const text = (page, words) => page.getByText(words).first().waitFor();

test('a user signs in with a password, is named, and signs out', async () => {
  const { context, page, errors } = await openPage();
  await page.goto(server.url);
  await connectionIs(page, 'unauthorized');
  await page.getByLabel('User', { exact: true }).waitFor();
  // The first field has the focus, so nobody needs a mouse.
  await page.waitForFunction(() => document.activeElement.id === 'user');
  await looksRight(page, 'sign-in');
  await page.keyboard.type('alice');
  await page.keyboard.press('Tab');
  await page.keyboard.type('not this one');
  await page.keyboard.press('Enter');
  await page.getByRole('alert').getByText('This is not right').waitFor();
  await looksRight(page, 'sign-in-refused');
  await page.getByLabel('Password', { exact: true }).fill(PASSWORD);
  await page.keyboard.press('Enter');
  await connectionIs(page, 'live');
  await page.reload();
  await connectionIs(page, 'live');

  const account = page.getByTestId('account');
  await account.locator('summary').focus();
  await page.keyboard.press('Enter');
  await text(page, 'Signed in as alice (admin)');
  await looksRight(page, 'account');
  await page.keyboard.press('Escape');
  assert.equal(await account.getAttribute('open'), null);
  await account.locator('summary').click();
  await leave(page, 'Sign out');
  await page.getByLabel('User', { exact: true }).waitFor();
  assert.deepEqual(await context.cookies(), []);
  assert.deepEqual(errors, []);
  await context.close();
});

test('who signs out everywhere is asked in every other browser', async () => {
  const [here, there] = [await openPage(), await openPage()];
  for (const { page } of [here, there]) {
    await signIn(page, 'bob');
    await connectionIs(page, 'live');
  }
  const account = here.page.getByTestId('account');
  await account.locator('summary').click();
  // Only admins find the settings.
  assert.equal(await account.getByRole('link').count(), 0);
  await leave(here.page, 'Sign out everywhere');
  await there.page.getByLabel('User', { exact: true }).waitFor();
  await here.page.getByLabel('User', { exact: true }).waitFor();
  await here.context.close();
  await there.context.close();
});

test('a viewer token is still a way in, beside users', async () => {
  const { context, page } = await openPage();
  await page.goto(server.url);
  await page.getByText('Use a viewer token instead').click();
  await page.getByLabel('Token', { exact: true }).fill('wrong');
  await page.getByRole('button', { name: 'Open' }).click();
  await text(page, 'The server did not accept this token.');
  await page.getByLabel('Token', { exact: true }).fill(TOKEN);
  await page.getByRole('button', { name: 'Open' }).click();
  await connectionIs(page, 'live');
  await page.getByTestId('account').locator('summary').click();
  await leave(page, 'Leave');
  await page.getByLabel('User', { exact: true }).waitFor();
  await page.reload();
  await connectionIs(page, 'unauthorized');
  await context.close();
});

test('a link with a password asks for it, and a link that is over says so', async () => {
  const { context, page, errors } = await openPage({ viewport: { width: 390, height: 844 } });
  const { address } = await made(async (admin) => {
    await admin.getByText('Make a link').first().click();
    const form = admin.locator('section', { has: admin.getByRole('heading', { name: 'Links' }) }).locator('form');
    await form.getByLabel('Name').fill('office');
    await form.getByLabel('Password', { exact: true }).fill('open this please');
    await form.getByRole('button', { name: 'Make a link' }).click();
  });
  assert.match(address, /^http:.*\/#link=fm_ln_/);
  await page.goto(address);
  await page.getByRole('heading', { name: 'Password of this link' }).waitFor();
  await looksRight(page, 'link-password-phone');
  await page.getByLabel('Password', { exact: true }).fill('not this one');
  await page.keyboard.press('Enter');
  await page.getByRole('alert').waitFor();
  await page.reload();
  await page.getByLabel('Password', { exact: true }).fill('open this please');
  await page.keyboard.press('Enter');
  await connectionIs(page, 'live');
  assert.equal(page.url(), `${server.url}/`);
  await page.getByTestId('account').locator('summary').click();
  await text(page, 'Guest, by the link office');
  run(['links', 'revoke', 'office']);
  await connectionIs(page, 'unauthorized');
  await page.goto('about:blank');
  await page.goto(address);
  await text(page, 'This link does not open the dashboard any more.');
  assert.deepEqual(errors, []);
  await context.close();
});

/** Signs an admin in, lets `make` fill in a form of the settings, and returns the secret that is shown. */
async function made(make) {
  const { context, page } = await openPage();
  await signIn(page, 'alice');
  await connectionIs(page, 'live');
  await page.goto(`${server.url}/#access`);
  await page.getByRole('heading', { name: 'Links' }).waitFor();
  await make(page);
  const address = await page.getByTestId('secret').innerText();
  await context.close();
  return { address };
}

test('an admin makes and revokes keys, users, tokens and links by keyboard', async () => {
  const { context, page, errors } = await openPage();
  await signIn(page, 'alice');
  await connectionIs(page, 'live');
  await page.getByTestId('account').locator('summary').click();
  await page.getByRole('link', { name: 'Access settings' }).click();
  await page.getByRole('heading', { name: 'Access', exact: true }).waitFor();
  await page.waitForFunction(() => document.activeElement.textContent === 'Access');

  const section = (title) => page.locator('section', { has: page.getByRole('heading', { name: title }) });
  const keys = section('Write keys');
  await keys.getByText('None yet.').waitFor();
  await keys.locator('summary').focus();
  await page.keyboard.press('Enter');
  await page.keyboard.press('Tab');
  await page.keyboard.type('web');
  await keys.getByLabel('It stands in pages').check();
  await keys.getByLabel('Ids in place of the key').fill('shop.example, 7');
  await keys.getByLabel('Good for').selectOption('a week');
  await looksRight(page, 'settings-form');
  await keys.getByLabel('Name').focus();
  await page.keyboard.press('Enter');
  const secret = await page.getByTestId('secret').innerText();
  assert.match(secret, /^fm_pk_/);
  await looksRight(page, 'settings-secret');
  await page.keyboard.press('Escape');
  await page.getByTestId('secret').waitFor({ state: 'detached' });
  assert.ok(!(await page.content()).includes(secret), 'it is shown once');
  await page.getByTestId('key-web').getByText('for pages and apps · source web · ids shop.example, 7').waitFor();
  const sent = await fetch(`${server.url}/v1/events`, {
    method: 'POST',
    headers: { 'X-Write-Key': secret },
    body: '{"type":"page_view"}',
  });
  assert.equal(sent.status, 202);

  // A name that is taken is said at the form, which keeps what was typed.
  await keys.locator('summary').click();
  await keys.getByLabel('Name').fill('web');
  await keys.getByRole('button', { name: 'Make a write key' }).click();
  await keys.getByRole('alert').getByText('There is a key named "web" already').waitFor();
  await keys.locator('summary').click();

  const users = section('Users');
  await users.locator('summary').click();
  await users.getByLabel('Name').fill('carol');
  await users.getByLabel('Role', { exact: true }).selectOption('analyst');
  await users.getByRole('button', { name: 'Add a user' }).click();
  const password = await page.getByTestId('secret').innerText();
  await page.getByRole('button', { name: 'Done' }).click();
  const carol = await openPage();
  await signIn(carol.page, 'carol', password);
  await connectionIs(carol.page, 'live');
  await users.getByLabel('Role of carol').selectOption('viewer');
  await page.getByRole('status').getByText('carol is viewer now.').waitFor({ state: 'attached' });
  // The last admin stays one, and the choice says so.
  await users.getByLabel('Role of alice').selectOption('viewer');
  await page.getByRole('alert').getByText('This is the last admin').waitFor();
  assert.equal(await users.getByLabel('Role of alice').inputValue(), 'admin');

  const tokens = section('API tokens');
  await tokens.locator('summary').click();
  await tokens.getByLabel('Name').fill('grafana');
  await tokens.getByLabel('metrics').check();
  await tokens.getByRole('button', { name: 'Make a token' }).click();
  const token = await page.getByTestId('secret').innerText();
  await page.getByRole('button', { name: 'Done' }).click();
  const asked = await fetch(`${server.url}/metrics`, { headers: { Authorization: `Bearer ${token}` } });
  assert.equal(asked.status, 200);
  await looksRight(page, 'settings');

  await page.getByRole('button', { name: 'Revoke carol' }).focus();
  await page.keyboard.press('Enter');
  await page.getByRole('dialog').getByText('Revoke carol?').waitFor();
  await looksRight(page, 'settings-revoke');
  await page.keyboard.press('Escape');
  await page.getByTestId('user-carol').waitFor();
  await page.getByRole('button', { name: 'Revoke carol' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click();
  await page.getByTestId('user-carol').waitFor({ state: 'detached' });
  await connectionIs(carol.page, 'unauthorized');
  await carol.context.close();

  await page.setViewportSize({ width: 390, height: 844 });
  await looksRight(page, 'settings-phone');
  await page.getByRole('link', { name: 'Back to the numbers' }).click();
  await page.locator('.board').waitFor();
  await looksRight(page, 'header-phone');
  assert.deepEqual(errors, []);
  await context.close();
});

test('an admin reads what was changed, the newest first and page by page', async () => {
  const { context, page, errors } = await openPage();
  // More than two pages of 25, with what people do in their browsers at the end.
  for (let at = 0; at < 15; at += 1) {
    run(['tokens', 'add', `job-${at}`, '--scope', 'numbers']);
    run(['tokens', 'revoke', `job-${at}`]);
  }
  for (let at = 0; at < 25; at += 1) run(['users', 'role', 'bob', at % 2 ? 'viewer' : 'analyst']);
  await signIn(page, 'alice');
  await connectionIs(page, 'live');
  await page.goto(`${server.url}/#access`);
  const audit = page.locator('section', { has: page.getByRole('heading', { name: 'Changes' }) });
  const lines = audit.getByRole('listitem');
  await lines
    .first()
    .getByText(/gave the user bob the role analyst/)
    .waitFor();
  assert.match(await lines.first().innerText(), /^[A-Z][a-z]{2} \d+, \d{4}, .*\n.*command line/s);
  assert.equal(await lines.count(), 25);
  await looksRight(page, 'audit');

  // By keyboard: the next lines follow, and the focus is at the first of them.
  const earlier = audit.getByRole('button', { name: 'Show earlier changes' });
  await earlier.focus();
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.querySelectorAll('.audit-line').length === 50);
  assert.equal(await lines.nth(25).evaluate((line) => line === document.activeElement), true);
  await lines.nth(25).getByText('revoked the token job-14').waitFor();
  await lines.nth(26).getByText('made the token job-14').waitFor();
  await lines.nth(26).getByText('may read numbers').waitFor();
  while (await earlier.isVisible()) {
    const before = await lines.count();
    await earlier.click();
    await page.waitForFunction((count) => document.querySelectorAll('.audit-line').length > count, before);
  }
  // The first line of all; no line stands twice, and none is missing.
  await lines.last().getByText('made the user alice').waitFor();
  const known = run(['audit', '--json', '--limit', '1000'])
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.equal(await lines.count(), known.length);
  assert.deepEqual(
    await audit.locator('strong').allInnerTexts(),
    known.map(({ name }) => name),
  );

  // What is changed here is there at once.
  await page.getByTestId('user-bob').getByLabel('Role of bob').selectOption('viewer');
  await lines.first().getByText('user alice gave the user bob the role viewer').waitFor();
  await page.setViewportSize({ width: 390, height: 844 });
  await looksRight(page, 'audit-phone');

  // Where the audit can't be read, the rest of the page is there all the same.
  await page.route('**/api/access/audit*', (route) => route.abort());
  await page.reload();
  await audit.getByRole('alert').getByText('The server does not answer').waitFor();
  await page.getByTestId('user-bob').waitFor();
  assert.deepEqual(errors, []);
  await context.close();
});
