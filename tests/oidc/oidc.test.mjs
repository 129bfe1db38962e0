// Tests signing in by OpenID against a real provider: who is let in with which role, and that nobody is by a code,
// a state, a nonce or a token that is not theirs. Needs `cargo build` before (or FLOODMARK_BIN).

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Browser, Floodmark, WITHIN_MS } from './floodmark.mjs';
import { startProvider } from './provider.mjs';

let provider;
let server;

before(async () => {
  server = await Floodmark.place();
  provider = await startProvider(server.callback, { codeLastsS: 2 });
  await server.configure(provider.issuer);
  server.run('users', 'add', 'root@shop.example', '--role', 'admin');
  await server.start();
});

after(async () => {
  await server?.remove();
  await provider?.stop();
});

const newBrowser = () => new Browser(server, provider);

test('users sign in with the role that the provider and the configuration give', async () => {
  const ways = await (await fetch(`http://${server.listen}/api/login/ways`)).json();
  assert.deepEqual(ways, { open: false, password: true, oidc: 'Shop login' });
  assert.equal(await newBrowser().who(), 401, 'nobody looks unknown');
  for (const [account, name, role] of [
    ['alice', 'alice@shop.example', 'admin'],
    ['bob', 'bob@shop.example', 'viewer'],
  ]) {
    provider.as(account);
    const browser = newBrowser();
    const address = await browser.begin();
    const asked = new URL(address).searchParams;
    assert.equal(asked.get('code_challenge_method'), 'S256');
    for (const name of ['state', 'nonce', 'code_challenge']) assert.ok(asked.get(name).length > 20, name);
    assert.equal(await browser.back(await browser.through(address)), '/');
    const who = await browser.who();
    assert.deepEqual([who.kind, who.name, who.role], ['user', name, role]);
    // The second time it is the same user.
    assert.equal(await browser.signIn(), '/');
  }
  const users = JSON.parse(server.run('users', 'list', '--json'));
  assert.deepEqual(
    users.map(({ name, role, hasPassword }) => [name, role, hasPassword]),
    [
      ['root@shop.example', 'admin', true],
      ['alice@shop.example', 'admin', false],
      ['bob@shop.example', 'viewer', false],
    ],
  );
});

test('a user of the provider has no password here, and gets none', async () => {
  for (const password of ['', 'null', 'correct horse battery']) {
    const answer = await fetch(`http://${server.listen}/api/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ user: 'alice@shop.example', password }),
    });
    assert.equal(answer.status, 401);
  }
  assert.throws(() => server.run('users', 'password', 'alice@shop.example'), /signs in at the OpenID provider/);
});

test('whoever has no role is not let in, and whoever loses it is out', async () => {
  provider.as('mallory');
  const mallory = newBrowser();
  assert.equal(await mallory.signIn(), '/#signin=no_role');
  assert.equal(await mallory.who(), 401);
  provider.as('bob');
  const bob = newBrowser();
  assert.equal(await bob.signIn(), '/');
  provider.groups('bob', ['everybody']);
  const again = newBrowser();
  assert.equal(await again.signIn(), '/#signin=no_role');
  assert.equal(await bob.who(), 401, 'sessions of before have ended');
  provider.groups('bob', ['fm-admins']);
  assert.equal(await again.signIn(), '/');
  assert.equal((await again.who()).role, 'admin');
});

test('a user with a password is not taken over by a name', async () => {
  provider.as('taken');
  const browser = newBrowser();
  assert.equal(await browser.signIn(), '/#signin=not_taken');
  assert.equal(await browser.who(), 401);
});

test('a wrong state, a wrong nonce, and a code that is over or used let nobody in', async () => {
  provider.as('alice');
  const browser = newBrowser();

  const back = new URL(await browser.through(await browser.begin()));
  back.searchParams.set('state', 'another');
  assert.equal(await browser.back(back.href), '/#signin=expired');

  // Another browser has no way that it began: nobody is signed in as somebody else by an address.
  const stolen = await browser.through(await browser.begin());
  assert.equal(await newBrowser().back(stolen), '/#signin=expired');

  const address = new URL(await browser.begin());
  address.searchParams.set('nonce', 'another');
  assert.equal(await browser.back(await browser.through(address.href)), '/#signin=wrong_token');

  // The provider holds the code against another challenge than the one that this browser keeps.
  const unproven = new URL(await browser.begin());
  unproven.searchParams.set('code_challenge', 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM');
  assert.equal(await browser.back(await browser.through(unproven.href)), '/#signin=wrong_token');

  const late = await browser.through(await browser.begin());
  await new Promise((done) => setTimeout(done, 3_000)); // A code lasts for two seconds.
  assert.equal(await browser.back(late), '/#signin=wrong_token');

  const first = newBrowser();
  const used = await first.through(await first.begin());
  const twin = first.copy();
  assert.equal(await first.back(used), '/');
  assert.equal(await twin.back(used), '/#signin=wrong_token');

  const refused = new URL(await browser.through(await browser.begin()));
  refused.searchParams.delete('code');
  refused.searchParams.set('error', 'access_denied');
  assert.equal(await browser.back(refused.href), '/#signin=refused');
  assert.equal(await browser.who(), 401);
});

test('the browser is led to our own page whatever the address says', async () => {
  const browser = newBrowser();
  const back = new URL(await browser.through(await browser.begin()));
  for (const name of ['return', 'redirect_uri', 'next']) back.searchParams.set(name, 'https://evil.example/');
  assert.equal(await browser.back(back.href), '/');
});

test('a token that another key has signed lets nobody in', async () => {
  provider.showOtherKeys();
  // The server has to ask for keys anew to see that: so does one that has just started.
  await server.stop();
  await server.start();
  const browser = newBrowser();
  assert.equal(await browser.signIn(), '/#signin=wrong_token');
  assert.equal(await browser.who(), 401);
});

test('a provider that is away stops neither the server nor those who have a password', async () => {
  await provider.stop();
  await server.stop();
  await server.start();
  const answer = await fetch(`http://${server.listen}/api/login/oidc`, { redirect: 'manual' });
  assert.equal(answer.status, 503);
  assert.equal((await answer.json()).error.code, 'provider_unavailable');
  assert.match(server.output, /nobody can sign in by OpenID/);
  const made = server.run('users', 'add', 'carol').trim();
  const until = Date.now() + WITHIN_MS;
  for (;;) {
    const signed = await fetch(`http://${server.listen}/api/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ user: 'carol', password: made }),
    });
    if (signed.status === 200) break;
    assert.ok(Date.now() < until, 'carol is not known');
    await new Promise((done) => setTimeout(done, 500));
  }
});
