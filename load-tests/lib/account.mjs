// node account.mjs BASE WORK: checks that every event is accounted for. WORK has summary.json (what k6 did) and
// stored.json (what the store holds, see stage.sh). The server began empty. Writes
// WORK/account.json; the exit code is 1 where two numbers that must agree do not.

import { readFileSync, writeFileSync } from 'node:fs';

const [base, work] = process.argv.slice(2);
const read = (name) => JSON.parse(readFileSync(`${work}/${name}`, 'utf8'));
const k6 = read('summary.json');
const stored = read('stored.json');

const text = await (await fetch(`${base}/metrics`)).text();
/** A counter, summed over its labels. */
function counter(name) {
  let sum = 0;
  for (const line of text.split('\n')) {
    const is = line.startsWith(`${name} `) || line.startsWith(`${name}{`);
    if (is) sum += Number(line.split(' ').pop());
  }
  return sum;
}
const current = await (await fetch(`${base}/api/analytics/current`)).json();
const server = {
  accepted: counter('floodmark_events_accepted_total'),
  duplicates: counter('floodmark_events_duplicate_total'),
  rejected: counter('floodmark_events_rejected_total'),
  stored: counter('floodmark_events_stored_total'),
  counted: counter('floodmark_events_counted_total'),
};

const rows = [];
let ok = true;
function same(what, a, aName, b, bName) {
  const equal = a === b;
  ok = ok && equal;
  rows.push({ what, a, aName, b, bName, equal });
}

same(
  'each event sent got one answer',
  k6.sent,
  'sent in answered requests',
  k6.accepted + k6.duplicates + k6.rejected,
  'accepted + duplicates + rejected',
);
// If an answer was lost on the way, the server did more than the client knows of.
if (k6.unanswered === 0) {
  same(
    'taken as the client was told',
    k6.accepted,
    'accepted, says k6',
    server.accepted,
    'accepted, says the server',
  );
  same('duplicates', k6.duplicates, 'says k6', server.duplicates, 'says the server');
}
if (k6.lost === 0) {
  same(
    'nothing lost, nothing twice',
    k6.distinct - k6.bad,
    'distinct good events sent',
    server.accepted,
    'accepted',
  );
}
same('stored', server.accepted, 'accepted', stored.rows, 'rows of events');
same('no row twice', stored.rows, 'rows of events', stored.ids, 'distinct ids');
same('ledger', server.accepted, 'accepted', stored.ledger, 'events in the ledger');
same('counted', server.accepted, 'accepted', server.counted, 'counted by the live side');
same('shown', server.accepted, 'accepted', current.events, 'events of /current');
if (k6.lost === 0) {
  same(
    'what was refused is kept, once',
    k6.bad,
    'distinct bad events sent',
    stored.deadLetters,
    'rows of dead_letters',
  );
  same('page views', k6.pageViews, 'sent', current.pageViews, 'pageViews of /current');
  same('purchases', k6.purchases, 'sent', current.purchases, 'purchases of /current');
  same('errors', k6.errors, 'sent', current.errors, 'errors of /current');
  same(
    'revenue, to the cent',
    k6.cents,
    'cents sent',
    Math.round(current.revenue * 100),
    'cents of /current',
  );
}

for (const { what, a, aName, b, bName, equal } of rows) {
  const n = (x) => Number(x).toLocaleString('en');
  const sign = equal ? '=' : '≠';
  console.log(`${equal ? 'ok  ' : 'FAIL'} ${what}: ${n(a)} ${aName} ${sign} ${n(b)} ${bName}`);
}
for (const rule of k6.failed) console.log(`FAIL ${rule}`);
if (k6.lost > 0) {
  ok = false;
  console.log(`FAIL ${k6.lost} events were given up after the last try: nobody knows of them`);
}
if (k6.distinct === 0) {
  ok = false;
  console.log('FAIL nothing was sent');
}
writeFileSync(`${work}/account.json`, JSON.stringify({ ok, rows, k6, server, stored, current }));
process.exit(ok ? 0 : 1);
