// Writes what the tests of the fault matrix have found, target/faults/*.json, into the table
// of docs/RELIABILITY.md: `node tests/faults/report.mjs`. No figure there is typed by hand.

import { readFileSync, writeFileSync, existsSync, statSync } from 'node:fs';
import { cpus } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '../..');
const page = join(root, 'docs/RELIABILITY.md');

// The tests in the order of their files, so that a row cannot be forgotten: one that has not
// been run says so.
const files = ['kills', 'outages', 'disk', 'damage', 'clock', 'clients', 'ids', 'nodes', 'viewers'];
const measurements = ['cost_of_ids'];
const tests = files.flatMap((file) => {
  const text = readFileSync(join(here, `${file}.rs`), 'utf8');
  return [...text.matchAll(/#\[test\]\n(?:#\[ignore.*\n)?fn (\w+)/g)].map((found) => found[1]);
}).filter((test) => !measurements.includes(test));

const number = (value) => value.toLocaleString('en-US');
let newest = 0;
const rows = tests.map((test) => {
  const file = join(root, 'target/faults', `${test}.json`);
  if (!existsSync(file)) return `| | | \`${test}\` | not run | | | | | |`;
  newest = Math.max(newest, statSync(file).mtimeMs);
  const row = JSON.parse(readFileSync(file, 'utf8'));
  const cells = [
    row.fault,
    row.promise,
    `\`${test}\``,
    number(row.sent),
    number(row.refused + row.silent),
    row.destroyed === 0 ? '' : number(row.destroyed),
    row.lost,
    row.doubled,
    row.peak_mib,
  ];
  return `| ${cells.join(' | ')} |`;
});

const day = new Date(newest).toISOString().slice(0, 10);
const table = `Last run: ${day}, ${cpus().length} cores (${cpus()[0].model.trim()}).

| fault | what holds, beside the promise | test | sent | no 202 | destroyed | lost | doubled | peak MiB |
| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |
${rows.join('\n')}`;

// What ids cost, from the test `cost_of_ids`.
const costFile = join(root, 'target/faults/cost.json');
const cost = existsSync(costFile) ? costs(JSON.parse(readFileSync(costFile, 'utf8'))) : 'Not measured.';

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

const [begin, end] = ['<!-- table: node tests/faults/report.mjs -->', '<!-- end of table -->'];
const text = readFileSync(page, 'utf8');
const [before, rest] = text.split(begin);
const filled = `${before}${begin}\n${table}\n${end}${rest.split(end)[1]}`;
const [costBegin, costEnd] = ['<!-- cost: node tests/faults/report.mjs -->', '<!-- end of cost -->'];
const [head, tail] = filled.split(costBegin);
writeFileSync(page, `${head}${costBegin}\n${cost}\n${costEnd}${tail.split(costEnd)[1]}`);
console.log(`${page}: ${rows.length} rows`);
