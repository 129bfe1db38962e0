// A server that signs users in at a provider, in a folder of its own, and browsers that come to it. Needs
// `cargo build` before (or FLOODMARK_BIN).

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { request as overTls } from 'node:https';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CLIENT } from './provider.mjs';

const program = resolve(
  process.env.FLOODMARK_BIN ?? fileURLToPath(new URL('../../target/debug/floodmark', import.meta.url)),
);
export const WITHIN_MS = 30_000;

const env = { ...process.env, FLOODMARK_OIDC__CLIENT_SECRET: CLIENT.secret };

async function freePort() {
  const probe = createServer();
  await new Promise((done) => probe.listen(0, '127.0.0.1', done));
  const { port } = probe.address();
  await new Promise((done) => probe.close(done));
  return port;
}

/** A place for a server: a folder and an address. `start` and `run` need what `configure` has written. */
export class Floodmark {
  static async place() {
    const folder = await mkdtemp(join(tmpdir(), 'floodmark-oidc-'));
    return new Floodmark(folder, `127.0.0.1:${await freePort()}`);
  }

  constructor(folder, listen) {
    Object.assign(this, { folder, listen, output: '', child: null });
    this.config = join(folder, 'floodmark.toml');
  }

  /** Where the provider sends browsers back to. */
  get callback() {
    return `http://${this.listen}/api/login/oidc/callback`;
  }

  /** Writes the configuration for a provider; `more` are further lines of `[oidc]`. */
  async configure(issuer, more = '') {
    await writeFile(
      this.config,
      `[oidc]
issuer = "${issuer}"
client_id = "${CLIENT.id}"
base_url = "http://${this.listen}/"
scopes = ["email"]
admins = ["fm-admins"]
viewers = ["fm-viewers"]
label = "Shop login"
${more}
`,
    );
  }

  #spawned(command, ...args) {
    const all = [command, ...args, '--data-dir', join(this.folder, 'data'), '--config', this.config];
    return spawn(program, all, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  }

  /** Starts the server, which has to listen whether or not there is a provider. */
  async start() {
    const child = this.#spawned('serve', '--listen', this.listen);
    this.child = child;
    this.gone = new Promise((done) => child.once('exit', done));
    this.output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (this.output += chunk));
    const until = Date.now() + WITHIN_MS;
    for (;;) {
      const answer = await fetch(`http://${this.listen}/healthz`).catch(() => null);
      if (answer?.ok) return;
      if (child.exitCode !== null || Date.now() > until) {
        throw new Error(`the server does not listen:\n${this.output}`);
      }
      await new Promise((done) => setTimeout(done, 50));
    }
  }

  async stop() {
    if (!this.child) return;
    this.child.kill('SIGKILL');
    await this.gone;
    this.child = null;
    assert.ok(!this.output.includes(CLIENT.secret), 'the secret is in no log');
  }

  async remove() {
    await this.stop();
    await rm(this.folder, { recursive: true, force: true });
  }

  /** Runs a command, and returns what it prints. */
  run(...args) {
    return execFileSync(program, [...args, '--data-dir', join(this.folder, 'data'), '--config', this.config], {
      encoding: 'utf8',
      env,
      stdio: 'pipe',
    });
  }
}

/** Asks over TLS with an authority of the test's own, which `fetch` can't be told. */
function fetchTrusting(ca, url, headers) {
  return new Promise((done, failed) => {
    const asked = overTls(url, { ca, headers }, (answer) => {
      const chunks = [];
      answer.on('data', (chunk) => chunks.push(chunk));
      answer.on('end', () => {
        const found = new Headers();
        for (const [name, values] of Object.entries(answer.headersDistinct)) {
          for (const value of values) found.append(name, value);
        }
        done(new Response(Buffer.concat(chunks), { status: answer.statusCode, headers: found }));
      });
    });
    asked.on('error', failed);
    asked.end();
  });
}

/** A browser as far as this needs one: it keeps cookies by host, and follows redirects one by one. */
export class Browser {
  #jars = new Map();

  /** `ca` is the authority of the provider's certificate, where that is not a public one. */
  constructor(server, provider, ca) {
    Object.assign(this, { server, provider, ca });
  }

  async get(url, headers = {}) {
    const { host, protocol } = new URL(url);
    const jar = this.#jars.get(host) ?? new Map();
    this.#jars.set(host, jar);
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
    const sent = { ...headers, ...(cookie && { cookie }) };
    const answer =
      protocol === 'https:'
        ? await fetchTrusting(this.ca, url, sent)
        : await fetch(url, { redirect: 'manual', headers: sent });
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
    const twin = new Browser(this.server, this.provider, this.ca);
    for (const [host, jar] of this.#jars) twin.#jars.set(host, new Map(jar));
    return twin;
  }

  /** Begins at the server, and returns where the provider is to be asked. */
  async begin() {
    const { status, location, answer } = await this.get(`http://${this.server.listen}/api/login/oidc`);
    assert.equal(status, 303, await answer.text());
    assert.match(answer.headers.get('set-cookie'), /^floodmark-oidc=.*; Path=\/; .*HttpOnly; SameSite=Lax$/);
    return location;
  }

  /** Goes through the provider, and returns the address to which it sends back. */
  async through(address) {
    while (address.startsWith(this.provider.issuer)) {
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
    return location.replace(`http://${this.server.listen}`, '');
  }

  async signIn() {
    return this.back(await this.through(await this.begin()));
  }

  async who() {
    const { status, answer } = await this.get(`http://${this.server.listen}/api/session`);
    return status === 200 ? answer.json() : status;
  }
}
