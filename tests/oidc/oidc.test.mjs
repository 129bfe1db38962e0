// Tests signing in by OpenID against a real provider: who is let in with which role, and that nobody is by a code,
// a state, a nonce or a token that is not theirs. Needs `cargo build` before (or FLOODMARK_BIN).

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { CLIENT, startProvider } from './provider.mjs';

const program = resolve(
  process.env.FLOODMARK_BIN ?? fileURLToPath(new URL('../../target/debug/floodmark', import.meta.url)),
);
const WITHIN_MS = 30_000;

let folder;
let config;
let listen;
let provider;
let server;

const env = { ...process.env, FLOODMARK_OIDC__CLIENT_SECRET: CLIENT.secret };

async function freePort() {
  const probe = createServer();
  await new Promise((done) => probe.listen(0, '127.0.0.1', done));
  const { port } = probe.address();
  await new Promise((done) => probe.close(done));
  return port;
}

/** Starts the server, which has to listen whether or not there is a provider. */
async function startServer() {
  const args = ['serve', '--listen', listen, '--data-dir', join(folder, 'data'), '--config', config];
  const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const gone = new Promise((done) => child.once('exit', done));
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
  const until = Date.now() + WITHIN_MS;
  for (;;) {
    const answer = await fetch(`http://${listen}/healthz`).catch(() => null);
    if (answer?.ok) break;
    if (child.exitCode !== null || Date.now() > until) throw new Error(`the server does not listen:\n${output}`);
    await new Promise((done) => setTimeout(done, 50));
  }
  return {
    output: () => output,
    async stop() {
      child.kill('SIGKILL');
      await gone;
      assert.ok(!output.includes(CLIENT.secret), 'the secret is in no log');
    },
  };
}

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'floodmark-oidc-'));
  listen = `127.0.0.1:${await freePort()}`;
  provider = await startProvider(`http://${listen}/api/login/oidc/callback`, { codeLastsS: 2 });
  config = join(folder, 'floodmark.toml');
  await writeFile(
    config,
    `[oidc]
issuer = "${provider.issuer}"
client_id = "${CLIENT.id}"
base_url = "http://${listen}/"
scopes = ["email"]
admins = ["fm-admins"]
viewers = ["fm-viewers"]
label = "Shop login"
`,
  );
  run('users', 'add', 'root@shop.example', '--role', 'admin');
  server = await startServer();
});

after(async () => {
  await server?.stop();
  await provider?.stop();
  if (folder) await rm(folder, { recursive: true, force: true });
});

const run = (...args) =>
  execFileSync(program, [...args, '--data-dir', join(folder, 'data'), '--config', config], {
    encoding: 'utf8',
    env,
    stdio: 'pipe',
  });

/** A browser as far as this needs one: it keeps cookies by host, and follows redirects one by one. */
class Browser {
  #jars = new Map();

  async get(url, headers = {}) {
    const { host } = new URL(url);
    const jar = this.#jars.get(host) ?? new Map();
    this.#jars.set(host, jar);
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
    const answer = await fetch(url, { redirect: 'manual', headers: { ...headers, ...(cookie && { cookie }) } });
    for (const line of answer.headers.getSetCookie()) {
      const [name, ...value] = line.split(';')[0].split('=');
      if (/Max-Age=0/.test(line)) jar.delete(name);
      else jar.set(name, value.join('='));
    }
    const location = answer.headers.get('location');
    return { status: answer.status, location: location && new URL(location, url).href, answer };
  }

  /** A browser with the same cookies. */
  copy() {
    const twin = new Browser();
    for (const [host, jar] of this.#jars) twin.#jars.set(host, new Map(jar));
    return twin;
  }

  /** Begins at the server, and returns where the provider is to be asked. */
  async begin() {
    const { status, location, answer } = await this.get(`http://${listen}/api/login/oidc`);
    assert.equal(status, 303, await answer.text());
    assert.match(answer.headers.get('set-cookie'), /^floodmark-oidc=.*; Path=\/; .*HttpOnly; SameSite=Lax$/);
    return location;
  }

  /** Goes through the provider, and returns the address to which it sends back. */
  async through(address) {
    while (address.startsWith(provider.issuer)) {
      const { status, location, answer } = await this.get(address);
      assert.ok(location, `${status} ${address} ${await answer.clone().text()}`);
      address = location;
    }
    return address;
  }

  /** Where the server leads whoever comes back to it. */
  async back(address) {
    const { status, location } = await this.get(address);
    assert.equal(status, 303);
    return location.replace(`http://${listen}`, '');
  }

  async signIn() {
    return this.back(await this.through(await this.begin()));
  }

  async who() {
    const { status, answer } = await this.get(`http://${listen}/api/session`);
    return status === 200 ? answer.json() : status;
  }
}

test('users sign in with the role that the provider and the configuration give', async () => {
  const ways = await (await fetch(`http://${listen}/api/login/ways`)).json();
  assert.deepEqual(ways, { open: false, password: true, oidc: 'Shop login' });
  assert.equal(await new Browser().who(), 401, 'nobody looks unknown');
  for (const [account, name, role] of [
    ['alice', 'alice@shop.example', 'admin'],
    ['bob', 'bob@shop.example', 'viewer'],
  ]) {
    provider.as(account);
    const browser = new Browser();
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
  const users = JSON.parse(run('users', 'list', '--json'));
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
    const answer = await fetch(`http://${listen}/api/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ user: 'alice@shop.example', password }),
    });
    assert.equal(answer.status, 401);
  }
  assert.throws(() => run('users', 'password', 'alice@shop.example'), /signs in at the OpenID provider/);
});

test('whoever has no role is not let in, and whoever loses it is out', async () => {
  provider.as('mallory');
  const mallory = new Browser();
  assert.equal(await mallory.signIn(), '/#signin=no_role');
  assert.equal(await mallory.who(), 401);
  provider.as('bob');
  const bob = new Browser();
  assert.equal(await bob.signIn(), '/');
  provider.groups('bob', ['everybody']);
  const again = new Browser();
  assert.equal(await again.signIn(), '/#signin=no_role');
  assert.equal(await bob.who(), 401, 'sessions of before have ended');
  provider.groups('bob', ['fm-admins']);
  assert.equal(await again.signIn(), '/');
  assert.equal((await again.who()).role, 'admin');
});

test('a user with a password is not taken over by a name', async () => {
  provider.as('taken');
  const browser = new Browser();
  assert.equal(await browser.signIn(), '/#signin=not_taken');
  assert.equal(await browser.who(), 401);
});

test('a wrong state, a wrong nonce, and a code that is over or used let nobody in', async () => {
  provider.as('alice');
  const browser = new Browser();

  const back = new URL(await browser.through(await browser.begin()));
  back.searchParams.set('state', 'another');
  assert.equal(await browser.back(back.href), '/#signin=expired');

  // Another browser has no way that it began: nobody is signed in as somebody else by an address.
  const stolen = await browser.through(await browser.begin());
  assert.equal(await new Browser().back(stolen), '/#signin=expired');

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

  const first = new Browser();
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
  const browser = new Browser();
  const back = new URL(await browser.through(await browser.begin()));
  for (const name of ['return', 'redirect_uri', 'next']) back.searchParams.set(name, 'https://evil.example/');
  assert.equal(await browser.back(back.href), '/');
});

test('a token that another key has signed lets nobody in', async () => {
  provider.showOtherKeys();
  // The server has to ask for keys anew to see that: so does one that has just started.
  await server.stop();
  server = await startServer();
  const browser = new Browser();
  assert.equal(await browser.signIn(), '/#signin=wrong_token');
  assert.equal(await browser.who(), 401);
});

test('a provider that is away stops neither the server nor those who have a password', async () => {
  await provider.stop();
  await server.stop();
  server = await startServer();
  const answer = await fetch(`http://${listen}/api/login/oidc`, { redirect: 'manual' });
  assert.equal(answer.status, 503);
  assert.equal((await answer.json()).error.code, 'provider_unavailable');
  assert.match(server.output(), /nobody can sign in by OpenID/);
  const made = run('users', 'add', 'carol').trim();
  const until = Date.now() + WITHIN_MS;
  for (;;) {
    const signed = await fetch(`http://${listen}/api/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ user: 'carol', password: made }),
    });
    if (signed.status === 200) break;
    assert.ok(Date.now() < until, 'carol is not known');
    await new Promise((done) => setTimeout(done, 500));
  }
});
