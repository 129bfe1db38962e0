// Starts a load of SECONDS, watches the server until it is over and both sinks have caught up,
// then prints what was stored and what it cost.
//   node load-tests/measure.mjs URL SECONDS server=PID [postgres=PID] [redis=PID]
//     [postgres_url=URL] [redis_url=URL] [raw=EVENTS_A_SECOND] -- LOAD COMMAND...
// A PID stands for that process and all its descendants.
import { spawn } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { read } from './costs.mjs';

const split = process.argv.indexOf('--');
const [url, seconds, ...named] = process.argv.slice(2, split);
const [program, ...load] = process.argv.slice(split + 1);
const given = Object.fromEntries(named.map((pair) => [pair.split('=')[0], pair.slice(pair.indexOf('=') + 1)]));
const { raw, postgres_url, redis_url, ...pids } = given;
const json = async (path) => (await fetch(url + path)).json();
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const round = (x) => Math.round(x).toLocaleString('en');

const stat = (pid) => {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1).split(' ').map(Number);
  } catch {
    return null; // it has ended, and its time was added to its parent's
  }
};

// CPU seconds of a process, of its children that have ended, and of all living descendants.
function cpu(pid) {
  const below = new Map();
  for (const name of readdirSync('/proc')) {
    const fields = /^\d+$/.test(name) && stat(name);
    if (fields) below.set(fields[1], [...(below.get(fields[1]) ?? []), Number(name)]);
  }
  const sum = (id) => {
    const fields = stat(id);
    if (!fields) return 0;
    const own = fields.slice(11, 15).reduce((all, ticks) => all + ticks, 0) / 100; // 100 ticks a second
    return (below.get(id) ?? []).reduce((all, child) => all + sum(child), own);
  };
  return sum(Number(pid));
}

const lag = async () => {
  const { lag: of } = await json('/readyz');
  return { store: of.store.events, live: of.live.events };
};

const before = Object.fromEntries(Object.entries(pids).map(([name, pid]) => [name, cpu(pid)]));
const costs = read(given);
const { events: already } = await json('/api/analytics/current');
const loading = spawn(program, load, { stdio: ['ignore', 'inherit', 'inherit'] });
const loaded = new Promise((ended, failed) => loading.on('exit', ended).on('error', failed));
process.on('exit', () => loading.kill());
const begin = Date.now();
const most = { store: 0, live: 0 };
let end;
do {
  await wait(Math.max(0, Math.min(500, seconds * 1000 - (Date.now() - begin))));
  end = await lag();
  for (const sink of ['store', 'live']) most[sink] = Math.max(most[sink], end[sink]);
} while (Date.now() - begin < seconds * 1000);
const stopped = Date.now();
await loaded;
for (let now = await lag(); now.store > 0 || now.live > 0; now = await lag()) await wait(20);
const took = (Date.now() - begin) / 1000;
// /current reads the mirror, which gets the live numbers a moment after they are counted.
let events = 0;
for (let next; events !== (next = (await json('/api/analytics/current')).events); await wait(300)) events = next;
events -= already;

const rate = events / took;
console.log(`events stored and counted: ${round(events)} in ${took.toFixed(1)} s: ${round(rate)}/s`);
console.log(`behind at most: store ${round(most.store)}, live ${round(most.live)} events; at the end of the load: ` +
  `store ${round(end.store)}, live ${round(end.live)}; caught up in ${Date.now() - stopped < 700 ? 'under 0.7' : (took - seconds).toFixed(1)} s`);
for (const [name, pid] of Object.entries(pids)) {
  console.log(`${name} CPU: ${((cpu(pid) - before[name]) / events * 1e6).toFixed(2)} s per 1M events`);
}
const peak = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pids.server}/status`, 'utf8'))[1] / 1024;
console.log(`server's peak memory: ${round(peak)} MB`);
for (const [name, now] of Object.entries(read(given))) {
  console.log(`${name}: ${round((now - costs[name]) / events * 1e6)} per 1M events`);
}
if (raw) console.log(`beside a raw COPY of ${round(raw)} rows/s: ${(rate / raw).toFixed(2)}`);
