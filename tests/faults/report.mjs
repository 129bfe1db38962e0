// Writes what the tests of both fault matrices have found, target/faults/*.json and
// target/faults/past/*.json, into the tables of docs/RELIABILITY.md: `node tests/faults/report.mjs`.
// No figure there is typed by hand. A table of which no test has been run is left as it is. With
// names (`table`, `pasts`, `cost`), only these are written: `node tests/faults/report.mjs pasts`.

import { readFileSync, writeFileSync, existsSync, statSync } from 'node:fs';
import { cpus } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '../..');
const page = join(root, 'docs/RELIABILITY.md');

const number = (value) => value.toLocaleString('en-US');
const some = (value) => (value === 0 ? '' : number(value));

// The tests in the order of their files, so that a row cannot be forgotten: one that has not
// been run says so.
function testsOf(folder, files) {
  return files.flatMap((file) => {
    const text = readFileSync(join(here, folder, `${file}.rs`), 'utf8');
    return [...text.matchAll(/#\[test\]\n(?:#\[ignore.*\n)?fn (\w+)/g)].map((found) => found[1]);
  });
}

// The table of these tests; `cells` writes a row of it. `null` where none of them has been run.
function table(folder, tests, head, cells) {
  let newest = 0;
  const columns = head.split('\n')[0].split('|').length - 2;
  const rows = tests.map((test) => {
    const file = join(root, 'target/faults', folder, `${test}.json`);
    if (!existsSync(file)) {
      const row = [`\`${test}\``, 'not run', ...Array(columns - 2).fill('')];
      return `| ${row.join(' | ')} |`;
    }
    newest = Math.max(newest, statSync(file).mtimeMs);
    return `| ${cells(JSON.parse(readFileSync(file, 'utf8'))).join(' | ')} |`;
  });
  if (newest === 0) return null;
  const day = new Date(newest).toISOString().slice(0, 10);
  const machine = `${cpus().length} cores (${cpus()[0].model.trim()})`;
  return `Last run: ${day}, ${machine}.\n\n${head}\n${rows.join('\n')}`;
}

const measurements = ['cost_of_ids'];
const files = ['kills', 'outages', 'disk', 'damage', 'clock', 'clients', 'ids', 'nodes', 'viewers'];
const faults = table(
  '',
  testsOf('', files).filter((test) => !measurements.includes(test)),
  `| fault | what holds, beside the promise | test | sent | no 202 | destroyed | lost | doubled | peak MiB |
| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |`,
  (row) => [
    row.fault,
    row.promise,
    `\`${row.test}\``,
    number(row.sent),
    number(row.refused + row.silent),
    some(row.destroyed),
    row.lost,
    row.doubled,
    row.peak_mib,
  ],
);

const parts = [
  'data_dir',
  'data_dir_clone',
  'postgres',
  'postgres_foreign',
  'redis',
  'sqlite',
  'clock',
  'settings',
];
const pasts = table(
  'past',
  testsOf('past', parts),
  `| part | its past | fault | what holds, beside the promise | test | sent | no 202 | missing and reported | lost | doubled |
| --- | --- | --- | --- | --- | ---: | ---: | ---: | ---: | ---: |`,
  (row) => [
    row.part,
    row.past,
    row.fault,
    row.complaints.length === 0 ? row.promise : `**failed:** ${row.complaints.join('; ')}`,
    `\`${row.test}\``,
    number(row.sent),
    number(row.no_202),
    row.reported === 0 ? '' : `${number(row.reported)} in ${number(row.reported_batches)} batches`,
    row.lost,
    row.doubled,
  ],
);

// What ids cost, from the test `cost_of_ids`.
const costFile = join(root, 'target/faults/cost.json');
const cost = existsSync(costFile) ? costs(JSON.parse(readFileSync(costFile, 'utf8'))) : null;

function costs(found) {
  const rates = (list) => list.map((rate) => number(Math.round(rate))).join(', ');
  const mean = (list) => list.reduce((sum, rate) => sum + rate, 0) / list.length;
  const ratio = mean(found.events_a_second_shared) / mean(found.events_a_second);
  return `The cost, measured by \`cost_of_ids\` (four senders, 100 events with ids a request, on Postgres and
Redis on the same machine, in turns): ${rates(found.events_a_second)} events/s without, and
${rates(found.events_a_second_shared)} with \`dedupe.shared\`: ${ratio.toFixed(2)} of it. An id takes
${found.bytes_in_index_uuid} bytes in a node's index as a UUID and ${found.bytes_in_index_text} as 24 letters, and
${found.bytes_in_redis} bytes in Redis (\`used_memory\` over ${number(found.ids)} ids).`;
}

const wanted = process.argv.slice(2);
let text = readFileSync(page, 'utf8');
for (const [name, filled] of [['table', faults], ['pasts', pasts], ['cost', cost]]) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  if (filled === null) {
    console.log(`${name}: nothing has been run, so it stays as it is`);
    continue;
  }
  const [begin, end] = [`<!-- ${name}: node tests/faults/report.mjs -->`, `<!-- end of ${name} -->`];
  const [before, rest] = text.split(begin);
  text = `${before}${begin}\n${filled}\n${end}${rest.split(end)[1]}`;
}
writeFileSync(page, text);
console.log(page);
