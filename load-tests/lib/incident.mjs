// node incident.mjs WORK: checks that an alert told the incident of a replayed Black Friday in
// time, that it named the failing gateway, and that no alert fired before. WORK has requests.csv
// and watch.ndjson. Writes WORK/incident.json; the exit code is 1 if one of these is not so. An
// incident that is shorter than an alert needs is not judged.

import { readFileSync, writeFileSync } from 'node:fs';

// The alert looks at a window of 30 s each second, and fires once its condition held for 5 s.
const SHORTEST_S = 15;
const WITHIN_S = 30;
const ALERT = 'checkout_errors';

const [work] = process.argv.slice(2);
const { incident } = JSON.parse(readFileSync(new URL('../profile.json', import.meta.url)));
let [began, ended] = [null, null];
for (const line of readFileSync(`${work}/requests.csv`, 'utf8').split('\n')) {
  if (!line) continue;
  const [t, , , , , , , minute] = line.split(',').map(Number);
  if (minute >= incident.from && minute < incident.to) {
    began = Math.min(began ?? t, t);
    ended = Math.max(ended ?? t, t);
  }
}
const told = new Map();
for (const line of readFileSync(`${work}/watch.ndjson`, 'utf8').trim().split('\n')) {
  const { alerts } = JSON.parse(line);
  for (const alert of [...(alerts?.firing ?? []), ...(alerts?.history ?? [])]) {
    if (alert.name === ALERT) told.set(alert.id, alert);
  }
}

let ok = true;
const say = (good, words) => {
  ok &&= good;
  console.log(`${good ? 'ok  ' : 'FAIL'} incident: ${words}`);
};
if (began === null || ended - began < SHORTEST_S * 1000) {
  console.log(`     incident: not judged, shorter than ${SHORTEST_S} s`);
} else {
  const alerts = [...told.values()].sort((a, b) => a.since - b.since);
  const early = alerts.filter(({ since }) => since < began);
  say(early.length === 0, `${early.length} times told before it began`);
  const first = alerts.find(({ since }) => since >= began);
  if (first) {
    const after = (first.since - began) / 1000;
    const named = first.explains.find(({ property }) => property === 'gateway');
    say(after < WITHIN_S, `${ALERT} fired ${after.toFixed(1)} s after it began`);
    say(
      named?.value === incident.gateway,
      `${named?.value} named as the gateway, ${((named?.share ?? 0) * 100).toFixed(0)} % of it`,
    );
  } else {
    say(false, `${ALERT} never fired`);
  }
}
writeFileSync(`${work}/incident.json`, JSON.stringify({ ok, began, told: [...told.values()] }));
process.exit(ok ? 0 : 1);
