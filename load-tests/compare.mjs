// node compare.mjs BASE SUMMARY: what k6 sent, what its viewer added up and what the server
// says must be the same. The server began empty.

import { readFileSync } from 'node:fs';

const [base, summary] = process.argv.slice(2);
const sent = JSON.parse(readFileSync(summary, 'utf8'));
const expected = [sent.pageViews, sent.purchases, sent.errors, sent.cents].join(' ');

async function current() {
  const answer = await fetch(`${base}/api/analytics/current`);
  const { pageViews, purchases, errors, revenue } = await answer.json();
  return [pageViews, purchases, errors, Math.round(revenue * 100)].join(' ');
}

// A 202 says that the events are on disk; they are counted a moment later.
const patience = Date.now() + 10_000;
let seen = await current();
while (seen !== expected && Date.now() < patience) {
  await new Promise((done) => setTimeout(done, 50));
  seen = await current();
}

let ok = true;
function same(what, a, b) {
  if (a !== b) ok = false;
  console.log(`${a === b ? 'ok  ' : 'FAIL'} ${what}: ${a}${a === b ? '' : `, not ${b}`}`);
}
same('the server counts page views, purchases, errors, cents', seen, expected);
const viewer = `${sent.viewer.pageViews} ${sent.viewer.cents}`;
same('the viewer adds up to page views, cents', viewer, `${sent.pageViews} ${sent.cents}`);
if (sent.events === 0) {
  ok = false;
  console.log('FAIL nothing was sent');
}
process.exit(ok ? 0 : 1);
