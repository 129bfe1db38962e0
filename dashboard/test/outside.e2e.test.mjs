// Tests in a real Chromium what keeps others out: the token leaves the address at once and stands in no
// request's address, the page keeps to its own policy, and a name that was rebound to this server reads
// nothing.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
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
  serverPath,
  startServer,
} from './support.mjs';

const TOKEN = 'watcher-7f3a';

let browser;
let dataDir;
let guarded;
let open;

before(async () => {
  browser = await launchBrowser(
    '--host-resolver-rules=MAP *.example 127.0.0.1',
    // Chromium itself has begun to keep such pages off; other browsers have not.
    '--disable-features=LocalNetworkAccessChecks',
  );
  dataDir = await makeDataDir();
  const config = join(dataDir, 'floodmark.toml');
  await writeFile(config, `[auth]\nviewer_tokens = ["${TOKEN}"]\n`);
  guarded = await startServer({ dataDir: join(dataDir, 'guarded'), config });
  open = await startServer({ dataDir: join(dataDir, 'open') });
});

after(async () => {
  await browser?.close();
  await guarded?.kill();
  await open?.kill();
  if (dataDir) await removeDataDir(dataDir);
});

/** A page that notes what it asks for, and what its policy forbids. */
async function notedPage() {
  const context = await browser.newContext();
  const page = await context.newPage();
  const notes = { asked: [], forbidden: [], errors: [] };
  page.on('request', (request) => notes.asked.push(request.url()));
  page.on('websocket', (socket) => notes.asked.push(socket.url()));
  page.on('pageerror', (error) => notes.errors.push(String(error)));
  await page.exposeFunction('noteForbidden', (what) => notes.forbidden.push(what));
  await page.addInitScript(() => {
    addEventListener('securitypolicyviolation', (event) =>
      window.noteForbidden(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`),
    );
  });
  return { context, page, notes };
}

for (const [mark, place] of [
  ['#', 'fragment'],
  ['?', 'query'],
]) {
  test(`a token that the page was opened with in the ${place} is taken out of the address and kept`, async () => {
    const { context, page, notes } = await notedPage();
    await page.goto(`${guarded.url}/${mark}token=${TOKEN}`);
    await connectionIs(page, 'live');
    assert.equal(page.url(), `${guarded.url}/`);
    await page.reload();
    await connectionIs(page, 'live');

    assert.ok(notes.asked.some((url) => url.startsWith('ws://')));
    // With `?` the browser itself asks for the page by that address, once.
    const asked = notes.asked.filter((url) => url.includes(TOKEN) && url !== `${guarded.url}/?token=${TOKEN}`);
    assert.deepEqual(asked, mark === '#' ? notes.asked.filter((url) => url.includes('#token=')) : []);
    assert.deepEqual(notes.errors, []);
    await page.goBack().catch(() => null);
    assert.ok(!page.url().includes(TOKEN), 'nor does the history have it');
    await context.close();
  });
}

test('a link opens the page, leaves the address, and is over once it is revoked', async () => {
  const run = (...args) => {
    const at = ['--data-dir', join(dataDir, 'guarded'), '--config', join(dataDir, 'floodmark.toml')];
    return execFileSync(serverPath(), [...args, ...at], { encoding: 'utf8', stdio: 'pipe' }).trim();
  };
  run('users', 'add', 'alice', '--role', 'admin');
  const address = run('links', 'add', 'wall', '--base', guarded.url);
  assert.match(address, /#link=fm_ln_/);
  const { context, page, notes } = await notedPage();
  await page.goto(`${guarded.url}/#link=fm_ln_nobody`);
  await connectionIs(page, 'unauthorized');
  await page.goto('about:blank');
  // All nodes know a link within two seconds.
  await new Promise((done) => setTimeout(done, 2_000));
  await page.goto(address);
  await connectionIs(page, 'live');
  assert.equal(page.url(), `${guarded.url}/`);
  await page.reload();
  await connectionIs(page, 'live');
  assert.deepEqual(notes.errors, []);
  run('links', 'revoke', 'wall');
  await connectionIs(page, 'unauthorized');
  await context.close();
});

test('the page draws everything under a policy that allows no inline style and no inline script', async () => {
  const { context, page, notes } = await notedPage();
  const answer = await page.goto(open.url);
  const policy = answer.headers()['content-security-policy'];
  assert.match(policy, /default-src 'none'/);
  assert.ok(!policy.includes('unsafe'), policy);
  await connectionIs(page, 'live');
  await post(open.url, [
    { type: 'purchase', sessionId: 's1', properties: { amount: 19.99, currency: 'USD', country: 'DE' } },
    { type: 'error', sessionId: 's1', properties: { code: 'E42', path: '/<img src=x onerror=alert(1)>' } },
  ]);
  await cardIs(page, 'revenue', '19.99');
  await page.locator('.uplot canvas').first().waitFor({ timeout: WAIT_MS });
  // A bar whose length is set as a style, and text of an event that looks like markup.
  const bar = page.locator('[data-testid="breakdown-error-path"] .bar').first();
  await bar.waitFor({ state: 'attached', timeout: WAIT_MS });
  assert.match(await bar.evaluate((element) => element.style.getPropertyValue('--length')), /\d/);
  assert.equal(await page.locator('img').count(), 0);
  assert.deepEqual(notes.forbidden, []);
  assert.deepEqual(notes.errors, []);

  // The policy does forbid what an injected text would try.
  await page.evaluate(() => {
    const script = document.createElement('script');
    script.textContent = 'window.injected = true';
    const styled = document.createElement('div');
    styled.innerHTML = '<p style="color: red">red</p>';
    document.body.append(script, styled);
  });
  assert.equal(await page.evaluate(() => window.injected), undefined);
  await page.waitForFunction(() => true);
  assert.ok(
    notes.forbidden.some((what) => what.startsWith('script-src')) &&
      notes.forbidden.some((what) => what.startsWith('style-src')),
    notes.forbidden.join('\n'),
  );
  await context.close();
});

test('a page whose name was rebound to this server reads nothing of it', async () => {
  const { port } = new URL(open.url);
  const page = await browser.newPage();
  const address = `http://evil.example:${port}/`;
  assert.equal((await page.goto(address)).status(), 421);
  // The page came from a server of its own, before its name led here.
  await page.route(address, (route) => route.fulfill({ contentType: 'text/html', body: '<p>evil</p>' }));
  await page.goto(address);
  const seen = await page.evaluate(async () => {
    const answer = await fetch('/api/analytics/current');
    const socket = new WebSocket(`ws://${location.host}/api/analytics/stream`);
    const opened = await new Promise((done) => {
      socket.onopen = () => done(true);
      socket.onerror = () => done(false);
    });
    return { status: answer.status, text: await answer.text(), opened };
  });
  assert.equal(seen.status, 421);
  assert.match(seen.text, /unknown_host/);
  assert.equal(seen.opened, false);
  await page.close();
});

test('the page and its stream come over TLS', async () => {
  const [cert, key] = [join(dataDir, 'tls.crt'), join(dataDir, 'tls.key')];
  const request = ['req', '-x509', '-days', '2', '-nodes', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];
  const name = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1'];
  execFileSync('openssl', [...request, ...name, '-keyout', key, '-out', cert], { stdio: 'ignore' });
  const config = join(dataDir, 'tls.toml');
  await writeFile(config, `[auth]\nviewer_tokens = ["${TOKEN}"]\n[tls]\ncert = "${cert}"\nkey = "${key}"\n`);
  const server = await startServer({ dataDir: join(dataDir, 'tls'), config });
  try {
    assert.match(server.url, /^https:/);
    const context = await browser.newContext({ ignoreHTTPSErrors: true });
    const page = await context.newPage();
    const sockets = [];
    page.on('websocket', (socket) => sockets.push(socket.url()));
    await page.goto(`${server.url}/#token=${TOKEN}`);
    await connectionIs(page, 'live');
    assert.ok(sockets.length > 0 && sockets.every((url) => url.startsWith('wss://')), sockets.join(' '));
    await context.close();
  } finally {
    await server.kill();
  }
});
