// The end-to-end tests share this: the real server as a child process, and a real Chromium.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const here = fileURLToPath(new URL('.', import.meta.url));

/** The longest wait for any condition. It is so long that no test fails because a machine is slow. */
export const WAIT_MS = 30_000;

function required(path, what, hint) {
  if (!existsSync(path)) throw new Error(`${what} not found at ${path}. ${hint}`);
  return path;
}

export const serverPath = () =>
  required(
    resolve(process.env.FLOODMARK_BIN ?? join(here, '../../target/debug/floodmark')),
    'The floodmark server',
    'Build it with `cargo build` (after `npm run build` here), or set FLOODMARK_BIN.',
  );

export const makeDataDir = () => mkdtemp(join(tmpdir(), 'floodmark-e2e-'));
export const removeDataDir = (dir) => rm(dir, { recursive: true, force: true });

/**
 * A zone in which it was about noon when the tests began, so that what lies minutes back is today's, and today does not
 * end meanwhile.
 */
const ahead = 12 - new Date().getUTCHours();
const NOON_ZONE = ahead === 0 ? 'UTC' : `Etc/GMT${ahead > 0 ? '-' : '+'}${Math.abs(ahead)}`;

/**
 * Starts `floodmark serve` and resolves once it listens.
 *
 * @param {{ dataDir: string, listen?: string, config?: string }} options `listen` defaults to a free
 *   port, `config` is the path of a file
 * @returns {Promise<{ url: string, listen: string, kill(): Promise<void> }>} kill is SIGKILL, and
 *   resolves when the process is gone
 */
export async function startServer({ dataDir, listen = '127.0.0.1:0', config }) {
  const layers = config ? ['--config', config] : [];
  const child = spawn(serverPath(), ['serve', '--listen', listen, '--data-dir', dataDir, ...layers], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { FLOODMARK_TIMEZONE: NOON_ZONE, ...process.env },
  });
  const gone = new Promise((done) => child.once('exit', done));
  let output = '';

  const url = await new Promise((found, failed) => {
    const fail = (why) => {
      child.kill('SIGKILL');
      failed(new Error(`The server ${why}. It said:\n${output}`));
    };
    const timer = setTimeout(() => fail(`did not listen within ${WAIT_MS} ms`), WAIT_MS);
    child.once('error', (error) => fail(`could not be started: ${error.message}`));
    child.once('exit', (code) => fail(`ended with ${code} before it listened`));
    // Both pipes are read until the server ends, since a full pipe would block it.
    child.stderr.on('data', (chunk) => (output += chunk));
    child.stdout.on('data', (chunk) => {
      output += chunk;
      const match = /https?:\/\/127\.0\.0\.1:\d+/.exec(output);
      if (!match) return;
      clearTimeout(timer);
      found(match[0]);
    });
  });

  return {
    url,
    listen: new URL(url).host,
    async kill() {
      child.kill('SIGKILL');
      await gone;
    },
  };
}

export async function post(url, events) {
  const response = await fetch(`${url}/v1/events`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(events),
  });
  if (response.status !== 202) throw new Error(`POST /v1/events: ${response.status} ${await response.text()}`);
  return response.json();
}

/** What a person's Chromium calls itself: one without a window calls itself HeadlessChrome, which is a bot. */
export const PERSON =
  'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36';

/** A Chromium, with further flags. */
export const launchBrowser = (...flags) =>
  chromium.launch({
    executablePath: required(
      process.env.CHROMIUM ?? '/usr/bin/chromium',
      'Chromium',
      'Install it (`apt-get install chromium`), or set CHROMIUM to a Chromium or Chrome.',
    ),
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--disable-background-networking',
      '--no-first-run',
      '--disable-component-update',
      '--disable-sync',
      ...flags,
    ],
  });

/** Waits until the card's raw number is `expected`, and says what it was if it never is. */
export async function cardIs(page, card, expected) {
  const value = page.locator(`[data-testid="card-${card}"] [data-testid="value"]`);
  const wanted = page.locator(`[data-testid="card-${card}"] [data-testid="value"][data-value="${expected}"]`);
  try {
    await wanted.waitFor({ state: 'attached', timeout: WAIT_MS });
  } catch {
    throw new Error(`card ${card}: expected ${expected}, shows ${await value.getAttribute('data-value')}`);
  }
}

/** Waits until the connection is in one of the states. */
export const connectionIs = (page, ...states) =>
  page
    .locator(states.map((state) => `[data-testid="connection"][data-state="${state}"]`).join(', '))
    .waitFor({ state: 'attached', timeout: WAIT_MS });

/** A page in a window of its own, and the errors of its scripts. */
export async function newPage(browser, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(WAIT_MS);
  const errors = [];
  page.on('pageerror', (error) => errors.push(String(error)));
  return { context, page, errors };
}

/** What axe finds wrong with the page as it is, and whether it is too wide. */
export async function faults(page) {
  const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
  // The page's policy forbids scripts that are put into it; what the browser's debugger evaluates is none.
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run(document));
  const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
  const [wide, screen] = await page.evaluate(() => [
    document.documentElement.scrollWidth,
    document.documentElement.clientWidth,
  ]);
  return wide > screen ? [...found, `${wide} px wide on a screen of ${screen}`] : found;
}

/** The same on a desk in light, and on a phone in dark. */
export async function faultsEverywhere(page) {
  const found = [];
  for (const [width, colorScheme] of [
    [1280, 'light'],
    [390, 'dark'],
  ]) {
    await page.setViewportSize({ width, height: 844 });
    await page.emulateMedia({ colorScheme });
    for (const fault of await faults(page)) found.push(`${width} ${colorScheme}: ${fault}`);
  }
  await page.setViewportSize({ width: 1280, height: 800 });
  return found;
}
