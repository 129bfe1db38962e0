// Bundles the page and the tracker, and writes the list of bots, or compiles the unit tests.
//
//   node build.mjs [--outdir DIR] [--tracker FILE] [--bots FILE]
//                                   the page into DIR, by default dist/, the tracker (floodmark.js) into
//                                   FILE and FILE.br, and the user agents of bots into FILE, if these are
//                                   given. Cargo's build script names its own folder, from where the files
//                                   go into the program
//   node build.mjs --watch          the page into dist/, unminified, again on every change, served for
//                                   a look at it (watch.mjs)
//   node build.mjs --tests          test/*.test.ts, for `node --test`

import { cp, mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { brotliCompressSync } from 'node:zlib';
import * as esbuild from 'esbuild';
import { list as agentsOfBots } from 'isbot';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

const { watch, tests, outdir, tracker, bots } = parseArgs({
  options: {
    watch: { type: 'boolean', default: false },
    tests: { type: 'boolean', default: false },
    outdir: { type: 'string', default: here('dist') },
    tracker: { type: 'string' },
    bots: { type: 'string' },
  },
}).values;

/** The bundle carries other people's MIT code, whose licence asks to be named. */
const NOTICE = '/*! Floodmark. Includes Preact (MIT, Jason Miller) and uPlot (MIT, Leon Sorokin). */';

async function buildTests() {
  const names = (await readdir(here('test'))).filter((name) => name.endsWith('.test.ts'));
  // Inside node_modules, so that no second folder has to be ignored.
  const folder = here('node_modules/.cache/floodmark-tests');
  await rm(folder, { recursive: true, force: true });
  await esbuild.build({
    entryPoints: names.map((name) => here(`test/${name}`)),
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    sourcemap: 'inline',
    logLevel: 'warning',
  });
}

/** What is loaded when it is needed: pages (src/pages/page.ts), and parts of the front page. */
const LATER =
  /\/src\/\w+(\/\w+)?\/(Explore|Incidents?|Events|Sources|Settings|Missing|SignIn|Scrubber|Targets|BooksContent|flags)\.tsx?$/;

/**
 * What the first page is made of becomes one file. esbuild makes a file for each set of pages that share code, which
 * would be a dozen: so each page says that it needs all of what is there before it, by exporting it.
 */
const oneFileFirst = {
  name: 'one-file-first',
  setup(build) {
    build.onLoad({ filter: LATER }, async ({ path }) => ({
      contents: `${await readFile(path, 'utf8')}\nexport { App } from ${JSON.stringify(here('src/components/App.tsx'))};`,
      loader: path.endsWith('.tsx') ? 'tsx' : 'ts',
    }));
  },
};

async function buildPage() {
  await rm(outdir, { recursive: true, force: true });
  await mkdir(outdir, { recursive: true });
  await cp(here('public'), outdir, { recursive: true });
  const context = await esbuild.context({
    entryPoints: { app: here('src/main.tsx'), pages: here('src/pages.css') },
    outdir,
    bundle: true,
    // Pages are loaded when somebody goes there. A name has a hash of what is in the file, so that a page that was
    // opened before an update never gets a part of another build.
    format: 'esm',
    splitting: true,
    chunkNames: '[name]-[hash]',
    plugins: [oneFileFirst],
    target: ['chrome109', 'firefox115', 'safari16.4'],
    jsx: 'automatic',
    jsxImportSource: 'preact',
    minify: !watch,
    sourcemap: watch ? 'inline' : false,
    legalComments: 'inline',
    logLevel: 'info',
    metafile: true,
  });
  const { metafile } = await context.rebuild();
  if (!watch) {
    await context.dispose();
    await nameFirst(metafile);
    const app = join(outdir, 'app.js');
    await writeFile(app, `${NOTICE}\n${await readFile(app, 'utf8')}`);
    // Packed once and at its smallest, and not at every visit.
    for (const name of await readdir(outdir)) await pack(join(outdir, name));
    return;
  }
  await context.watch();
  const { servePage } = await import('./watch.mjs');
  servePage(outdir);
}

/**
 * Names in index.html what the first page is made of, so that a browser asks for all of it at once, and not for each
 * file when it has read the one before.
 */
async function nameFirst({ outputs }) {
  const names = new Set();
  const add = (path) => {
    if (names.has(path)) return;
    names.add(path);
    for (const { path: next, kind } of outputs[path].imports) if (kind === 'import-statement') add(next);
  };
  const entry = Object.keys(outputs).find((path) => basename(path) === 'app.js');
  add(entry);
  names.delete(entry);
  const links = [...names].map((path) => `    <link rel="modulepreload" href="/${basename(path)}" />\n`);
  const file = join(outdir, 'index.html');
  const page = await readFile(file, 'utf8');
  await writeFile(file, page.replace('  </head>', `${links.join('')}  </head>`));
}

const pack = async (file) => writeFile(`${file}.br`, brotliCompressSync(await readFile(file)));

/**
 * The script that other people's pages load, and beside it the same as brotli, at its smallest. It runs in
 * browsers that are older than those of the dashboard.
 */
async function buildTracker(outfile) {
  await esbuild.build({
    entryPoints: [here('tracker/floodmark.ts')],
    outfile,
    bundle: true,
    format: 'iife',
    target: 'es2020',
    minify: true,
    logLevel: 'warning',
  });
  await pack(outfile);
}

/**
 * The expressions for user agents of bots, one a line, as the server's engine reads them: a hyphen behind a class
 * of characters (`[\d-.]`) is a hyphen, which that engine wants to be told.
 */
async function writeBots(outfile) {
  const lines = agentsOfBots.map((expression) => expression.replace(/(\\[dsw])-(?!\])/g, '$1\\-'));
  await writeFile(outfile, `${lines.join('\n')}\n`);
}

if (tests) await buildTests();
else await Promise.all([buildPage(), tracker && buildTracker(tracker), bots && writeBots(bots)]);
