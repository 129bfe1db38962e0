// Tests how much a browser loads: the first page, and all pages together, as they are sent (brotli).

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

const FIRST_PAGE_BYTES = 60_000;
const ALL_PAGES_BYTES = 100_000;

test('the first page and all pages are as light as they are said to be', () => {
  const folder = mkdtempSync(join(tmpdir(), 'floodmark-weight-'));
  try {
    // The tests run in dashboard/, from where npm starts them.
    execFileSync(process.execPath, ['build.mjs', '--outdir', folder], { stdio: 'pipe' });
    const index = readFileSync(join(folder, 'index.html'), 'utf8');
    const named = [...index.matchAll(/(?:src|href)="\/([^"]+)"/g)].map((match) => match[1]!);
    const bytes = (names: string[]) => names.reduce((sum, name) => sum + statSync(join(folder, `${name}.br`)).size, 0);
    const all = readdirSync(folder).filter((name) => !name.endsWith('.br'));
    assert.ok(named.includes('app.js') && named.length < all.length, named.join());
    // What the script loads at once is named in the page; a browser would ask for it late otherwise.
    const app = readFileSync(join(folder, 'app.js'), 'utf8');
    const imported = [...app.matchAll(/from"\.\/([^"]+)"/g)].map((match) => match[1]!);
    assert.deepEqual(
      imported.filter((name) => !named.includes(name)),
      [],
    );
    const [first, whole] = [bytes(['index.html', ...named]), bytes(all)];
    assert.ok(first <= FIRST_PAGE_BYTES, `the first page is ${first} bytes`);
    assert.ok(whole <= ALL_PAGES_BYTES, `all pages are ${whole} bytes`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
