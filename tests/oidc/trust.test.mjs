// Tests whom the server believes at sign-in: a provider whose certificate a private authority has signed, and one
// that says in its userinfo what its ID tokens lack. Needs `cargo build` before (or FLOODMARK_BIN).

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Browser, Floodmark } from './floodmark.mjs';
import { startProvider } from './provider.mjs';

const ends = [];
after(async () => {
  for (const end of ends.reverse()) await end();
});

/** A server and a provider, which end with the tests. `more` are further lines of `[oidc]`. */
async function pair(options = {}, more = '') {
  const server = await Floodmark.place();
  ends.push(() => server.remove());
  const provider = await startProvider(server.callback, options);
  ends.push(() => provider.stop());
  await server.configure(provider.issuer, more);
  return { server, provider };
}

/** An authority of the test's own, and what it has signed for `localhost`: PEM texts, and its file. */
function privateAuthority(folder) {
  const openssl = (...args) => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl('req', '-x509', ...newKey, '-subj', '/CN=Shop CA', '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '2');
  openssl('req', ...newKey, '-subj', '/CN=localhost', '-keyout', 'key.pem', '-out', 'request.pem');
  writeFileSync(join(folder, 'names'), 'subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n');
  const signed = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-extfile', 'names', '-days', '2'];
  openssl('x509', '-req', '-in', 'request.pem', ...signed, '-out', 'cert.pem');
  const text = (name) => readFileSync(join(folder, name), 'utf8');
  return { ca: text('ca.pem'), file: join(folder, 'ca.pem'), tls: { key: text('key.pem'), cert: text('cert.pem') } };
}

test('a provider of a private authority is believed where oidc.ca names that, and nowhere else', async () => {
  const server = await Floodmark.place();
  ends.push(() => server.remove());
  const { ca, file, tls } = privateAuthority(server.folder);
  const provider = await startProvider(server.callback, { tls, claimsBy: 'userinfo' });
  ends.push(() => provider.stop());

  await server.configure(provider.issuer);
  await server.start();
  const begun = await fetch(`http://${server.listen}/api/login/oidc`, { redirect: 'manual' });
  assert.equal(begun.status, 503);
  assert.equal((await begun.json()).error.code, 'provider_unavailable');
  assert.match(server.output, /nobody can sign in by OpenID.*UnknownIssuer.*oidc\.ca/);
  await server.stop();

  // Discovery, keys, token and userinfo: all of them are needed for this.
  await server.configure(provider.issuer, `ca = "${file}"`);
  await server.start();
  const browser = new Browser(server, provider, ca);
  assert.equal(await browser.signIn(), '/');
  assert.equal((await browser.who()).role, 'admin');
  for (const route of ['discovery', 'jwks', 'token', 'userinfo']) assert.ok(provider.asked[route] >= 1, route);
});

test('a file of oidc.ca that is missing, empty or no certificate stops the start', async () => {
  const { server } = await pair();
  const file = (name, text) => {
    writeFileSync(join(server.folder, name), text);
    return join(server.folder, name);
  };
  const wrongs = [
    ['/nowhere/ca.pem', /No such file/],
    [file('empty.pem', ''), /no certificate in it/],
    [file('spoiled.pem', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'), /invalid/],
  ];
  for (const [path, why] of wrongs) {
    await server.configure('https://login.shop.example', `ca = "${path}"`);
    for (const command of [['serve', '--listen', server.listen], ['check']]) {
      assert.throws(
        () => server.run(...command),
        ({ stdout, stderr }) => {
          const said = stdout + stderr;
          assert.ok(said.includes(`oidc.ca ${path}: `), said);
          assert.match(said, why);
          return true;
        },
      );
    }
  }
});

for (const claimsBy of ['userinfo', 'signed userinfo']) {
  test(`claims that the ID token lacks are read from the ${claimsBy}`, async () => {
    const { server, provider } = await pair({ claimsBy });
    await server.start();
    for (const [account, name, role] of [
      ['alice', 'alice@shop.example', 'admin'],
      ['bob', 'bob@shop.example', 'viewer'],
    ]) {
      provider.as(account);
      const browser = new Browser(server, provider);
      assert.equal(await browser.signIn(), '/');
      const who = await browser.who();
      assert.deepEqual([who.name, who.role], [name, role]);
    }
    provider.as('mallory');
    assert.equal(await new Browser(server, provider).signIn(), '/#signin=no_role');
    assert.equal(provider.asked.userinfo, 3);
  });
}

test('a provider is not asked for what the ID token has', async () => {
  const { server, provider } = await pair();
  await server.start();
  assert.equal(await new Browser(server, provider).signIn(), '/');
  assert.equal(provider.asked.userinfo, undefined);
});

test('a userinfo of somebody else, or none, lets nobody in and ends no session', async () => {
  const { server, provider } = await pair({ claimsBy: 'userinfo' });
  await server.start();
  const alice = new Browser(server, provider);
  assert.equal(await alice.signIn(), '/');

  const wrongs = [
    [(context) => (context.body = { ...context.body, sub: 'bob' }), '/#signin=wrong_token', /userinfo.*subject/i],
    [(context) => (context.body = { email: 'alice@shop.example' }), '/#signin=wrong_token', /userinfo.*sub/],
    [(context) => (context.status = 403), '/#signin=unavailable', /userinfo.*403/],
    [(context) => (context.status = 502), '/#signin=unavailable', /userinfo.*502/],
  ];
  for (const [change, end, said] of wrongs) {
    provider.changeUserinfo(change);
    const browser = new Browser(server, provider);
    assert.equal(await browser.signIn(), end, String(change));
    assert.equal(await browser.who(), 401);
    assert.match(server.output, said);
    assert.equal((await alice.who()).role, 'admin', 'the session of before goes on');
  }
  provider.changeUserinfo(() => {});
  assert.equal(await new Browser(server, provider).signIn(), '/');
});

test('a name alone that is not to be had is made, and the role counts', async () => {
  const { server, provider } = await pair({}, 'name_claim = "nickname"');
  provider.changeUserinfo((context) => (context.body = { ...context.body, sub: 'bob' }));
  await server.start();
  assert.equal(await new Browser(server, provider).signIn(), '/#signin=wrong_token', 'who is this?');
  provider.changeUserinfo((context) => (context.status = 500));
  const browser = new Browser(server, provider);
  assert.equal(await browser.signIn(), '/');
  const who = await browser.who();
  assert.equal(who.role, 'admin');
  assert.match(who.name, /^oidc-[0-9a-f]{12}$/);
  assert.match(server.output, /the name of a user of the OpenID provider is not known/);
});
