// Builds dist/ (what the server embeds), or the unit tests with --tests.
//
//   node build.mjs           dist/{index.html, app.js, app.css, favicon.svg}
//   node build.mjs --watch   the same, unminified, again on every change
//   node build.mjs --tests   test/*.test.ts, compiled for `node --test`

import { cp, mkdir, readdir, rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import * as esbuild from 'esbuild';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const watch = process.argv.includes('--watch');

/** The bundle carries other people's MIT code, whose licence asks to be named. */
const NOTICE = '/*! Floodmark. Includes Preact (MIT, Jason Miller) and uPlot (MIT, Leon Sorokin). */';

async function buildTests() {
  const names = (await readdir(here('test'))).filter((name) => name.endsWith('.test.ts'));
  // Inside node_modules, so that no second folder has to be ignored.
  const outdir = here('node_modules/.cache/floodmark-tests');
  await rm(outdir, { recursive: true, force: true });
  await esbuild.build({
    entryPoints: names.map((name) => here(`test/${name}`)),
    outdir,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    sourcemap: 'inline',
    logLevel: 'warning',
  });
}

async function buildPage() {
  const dist = here('dist');
  await rm(dist, { recursive: true, force: true });
  await mkdir(dist, { recursive: true });
  await cp(here('public'), dist, { recursive: true });
  const context = await esbuild.context({
    entryPoints: { app: here('src/main.tsx') },
    outdir: dist,
    bundle: true,
    format: 'iife',
    target: ['chrome109', 'firefox115', 'safari16.4'],
    jsx: 'automatic',
    jsxImportSource: 'preact',
    minify: !watch,
    sourcemap: watch ? 'inline' : false,
    legalComments: 'inline',
    banner: { js: NOTICE },
    logLevel: 'info',
  });
  await context.rebuild();
  if (watch) await context.watch();
  else await context.dispose();
}

await (process.argv.includes('--tests') ? buildTests() : buildPage());
