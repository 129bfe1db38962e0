// node --experimental-websocket watch.mjs OUT BASE NAME=FILE...: writes a line of JSON every second. It
// has what /metrics counts, CPU and memory of each process with its children (from /proc; FILE holds
// the pid, also a new one after a restart), the alerts, and the age of the frames that one viewer got. It
// also counts gaps in the viewer's sequence of frames. It ends on SIGINT or SIGTERM.

import { createWriteStream, readFileSync, readdirSync } from 'node:fs';

const [out, base, ...named] = process.argv.slice(2);
const processes = named.map((pair) => pair.split('='));
const lines = createWriteStream(out);
const TICKS = 100; // USER_HZ, the same on every Linux of today
const PAGE = 4096;

// --- processes ----------------------------------------------------------------------------

function pidIn(file) {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return '0';
  }
}

function stat(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The line is `pid (name) state ppid …`; the name may hold spaces and brackets.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return {
      parent: fields[1],
      cpu: (Number(fields[11]) + Number(fields[12])) / TICKS,
      children: (Number(fields[13]) + Number(fields[14])) / TICKS,
      rss: Number(fields[21]) * PAGE,
    };
  } catch {
    return undefined; // gone
  }
}

/** CPU seconds so far and memory of a process and those it started. Shared pages count once. */
function usage(pid) {
  const own = stat(pid);
  if (!own) return { cpu: null, rss: 0 };
  let { cpu } = own;
  let { rss } = own;
  cpu += own.children; // those that have ended
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const child = stat(entry);
    if (child?.parent !== pid) continue;
    cpu += child.cpu;
    rss += privateOf(entry);
  }
  return { cpu, rss };
}

// Memory that only this process has; Postgres's children share its buffers.
function privateOf(pid) {
  try {
    const [, resident, shared] = readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ').map(Number);
    return (resident - shared) * PAGE;
  } catch {
    return 0;
  }
}

// --- the server ---------------------------------------------------------------------------

async function get(path) {
  const answer = await fetch(base + path, { signal: AbortSignal.timeout(3000) });
  return answer.ok || path === '/readyz' ? answer : undefined;
}

/** The metrics, summed over their labels, but for those of which each label is a number of its own. */
async function metrics() {
  const text = await (await get('/metrics')).text();
  const sums = {};
  for (const line of text.split('\n')) {
    const [, name, labels = '', value] =
      /^floodmark_([a-z_]+)(\{[^}]*\})? ([-+.\deE]+)$/.exec(line) ?? [];
    if (!name || name.endsWith('_bucket')) continue;
    const apart = name === 'spool_lag_events' || name === 'business_total';
    const label = apart ? /="(\w+)"/.exec(labels)?.[1] : undefined;
    const key = label ? `${name}_${label}` : name;
    sums[key] = (sums[key] ?? 0) + Number(value);
  }
  return sums;
}

// --- one viewer ---------------------------------------------------------------------------

let ages = [];
let gaps = 0;
let frames = 0;
let stopping = false;
function view() {
  let seq = null;
  const socket = new WebSocket(`${base.replace('http', 'ws')}/api/analytics/stream`);
  socket.onmessage = ({ data }) => {
    const frame = JSON.parse(data);
    frames += 1;
    if (frame.type === 'delta') {
      if (seq !== null && frame.seq !== seq + 1) gaps += 1;
      ages.push(Date.now() - frame.timestamp);
    }
    seq = frame.seq;
  };
  socket.onclose = () => !stopping && setTimeout(view, 200);
  socket.onerror = () => {};
}
view();

// --- each second --------------------------------------------------------------------------

async function sample() {
  const line = { t: Date.now(), cpu: {}, rss: {} };
  for (const [name, file] of processes) {
    const { cpu, rss } = usage(pidIn(file));
    line.cpu[name] = cpu;
    line.rss[name] = rss;
  }
  line.ages = ages;
  line.gaps = gaps;
  line.frames = frames;
  ages = [];
  try {
    line.metrics = await metrics();
    // There is no such route in older versions.
    const alerts = await get('/api/analytics/alerts');
    if (alerts) line.alerts = await alerts.json();
  } catch (e) {
    line.error = String(e.cause?.code ?? e.message);
  }
  lines.write(`${JSON.stringify(line)}\n`);
}

function stop() {
  stopping = true;
  lines.end(() => process.exit(0));
}
process.on('SIGINT', stop);
process.on('SIGTERM', stop);

let next = Date.now();
while (!stopping) {
  await sample();
  next = Math.max(next + 1000, Date.now());
  await new Promise((done) => setTimeout(done, next - Date.now()));
}
