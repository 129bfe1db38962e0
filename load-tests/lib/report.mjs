// node report.mjs WORK NAME OUT: makes one self-contained HTML page of what a run left in WORK:
// requests.csv (a line a try), watch.ndjson (a line a second), account.json, memory.json, marks.

import { readFileSync, writeFileSync, existsSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { chart, escape, HOVER } from './chart.mjs';

const [work, name, out] = process.argv.slice(2);
const lines = (file) => {
  const path = `${work}/${file}`;
  return existsSync(path) ? readFileSync(path, 'utf8').split('\n').filter(Boolean) : [];
};
const account = JSON.parse(readFileSync(`${work}/account.json`, 'utf8'));
const memory = JSON.parse(readFileSync(`${work}/memory.json`, 'utf8'));
const { k6, server } = account;
const samples = lines('watch.ndjson').map(JSON.parse);
const n = (value, digits = 0) =>
  Number(value ?? 0).toLocaleString('en', {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });

// --- by second, from the first request on -------------------------------------------------

const begin = Number(lines('requests.csv')[0].split(',')[0]);
const words = lines('marks').map((line) => line.split('\t'));
const settled = words.find(([, label]) => label === 'settled');
const end = settled ? Math.min(samples.at(-1).t, Number(settled[0]) + 2000) : samples.at(-1).t;
const seconds = Math.ceil((end - begin) / 1000);
const at = (t) => Math.floor((t - begin) / 1000);
const empty = (value) => new Array(seconds + 1).fill(value);

const sent = empty(0);
const times = Array.from({ length: seconds + 1 }, () => []);
let firstMinute = null;
let lastMinute = 0;
let lastBegin = begin;
for (const line of lines('requests.csv')) {
  const [t, ms, , events, , , , minute] = line.split(',').map(Number);
  // The line was written when the answer came, but belongs to the second of the sending.
  const s = at(t);
  if (!(s >= 0 && s <= seconds)) continue;
  sent[s] += events;
  times[s].push(ms);
  firstMinute ??= minute;
  if (t > lastBegin) [lastBegin, lastMinute] = [t, minute];
}
const quantile = (list, q) => {
  if (list.length === 0) return null;
  const sorted = [...list].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))];
};

/** A value of each second; a second without a sample has none. */
function level(get) {
  const values = empty(null);
  for (const sample of samples) {
    const value = get(sample);
    const known = value !== undefined && value !== null;
    if (sample.t >= begin && sample.t <= end && known) values[at(sample.t)] = value;
  }
  return values;
}

/** The growth a second of a counter, drawn over the time between two samples. */
function growth(get) {
  const values = empty(null);
  let before;
  for (const sample of samples) {
    const value = get(sample);
    if (value === undefined || value === null) continue;
    if (before && sample.t > begin && value >= before.value) {
      const rate = ((value - before.value) / (sample.t - before.t)) * 1000;
      for (let s = Math.max(at(before.t), 0); s <= Math.min(at(sample.t), seconds); s++)
        values[s] = rate;
    }
    before = { t: sample.t, value };
  }
  return values;
}
const metric = (key) => (sample) => sample.metrics?.[key];

// --- the time axis ------------------------------------------------------------------------

const isDay = name === 'black-friday';
const speed = (lastMinute - firstMinute) / Math.max((lastBegin - begin) / 1000, 1); // minutes a second
const clock = (minute) =>
  `${String(Math.floor(minute / 60)).padStart(2, '0')}:${String(Math.floor(minute % 60)).padStart(2, '0')}`;
const ticks = [];
if (isDay) {
  const every = lastMinute - firstMinute > 720 ? 120 : 30;
  for (let m = Math.ceil(firstMinute / every) * every; m <= lastMinute + 2; m += every) {
    ticks.push({ s: (m - firstMinute) / speed, label: clock(m) });
  }
} else {
  const every = [5, 10, 30, 60, 300, 600].find((step) => seconds / step <= 12) ?? 1800;
  for (let s = 0; s <= seconds; s += every) {
    ticks.push({ s, label: every >= 60 ? `${s / 60} min` : `${s} s` });
  }
}

const bands = [];
if (isDay) {
  const { incident } = JSON.parse(readFileSync(new URL('../profile.json', import.meta.url)));
  const [from, to] = [incident.from, incident.to].map((m) => (m - firstMinute) / speed);
  if (from < seconds && to > 0) {
    bands.push({
      from: Math.max(from, 0),
      to,
      kind: 'incident',
      label: `${incident.gateway} fails`,
    });
  }
}
const marks = words.map(([t, label]) => ({ s: (Number(t) - begin) / 1000, label }));
const down = marks.find(({ label }) => label.endsWith('killed'));
const back = marks.find(({ label }) => label.endsWith('back'));
if (down && back)
  bands.push({ from: down.s, to: back.s, kind: 'incident', label: 'PostgreSQL is down' });

// --- alerts -------------------------------------------------------------------------------

const alerts = new Map();
let hasAlerts = false;
for (const sample of samples) {
  if (!sample.alerts) continue;
  hasAlerts = true;
  for (const alert of sample.alerts.firing ?? []) {
    const known = alerts.get(`${alert.name} ${alert.since}`);
    if (known) {
      known.until = sample.t;
      if (alert.value > known.value) known.value = alert.value;
    } else {
      alerts.set(`${alert.name} ${alert.since}`, { ...alert, seen: sample.t, until: sample.t });
    }
  }
}
const fired = [...alerts.values()];
const firing = fired.map(({ seen, until, name: label }) => ({
  from: Math.max((seen - begin) / 1000, 0),
  to: (until - begin) / 1000 + 1,
  kind: 'firing',
  label: `alert: ${label}`,
}));

// --- charts -------------------------------------------------------------------------------

// The explanation stands once, on the first chart.
const unnamed = ({ label, ...band }) => band;
const common = { seconds, ticks, bands: bands.map(unnamed), marks };
const processes = ['server', 'postgres', 'redis', 'k6'].filter((p) =>
  samples.some((s) => s.rss[p] > 0),
);
const called = { server: 'Floodmark', postgres: 'PostgreSQL', redis: 'Redis', k6: 'k6 (the load)' };
const percent = (p) => growth((sample) => sample.cpu[p] ?? undefined).map((v) => v && v * 100);
const mb = (p) => level((sample) => (sample.rss[p] > 0 ? sample.rss[p] / 2 ** 20 : null));
const errors = growth(metric('business_total_errors'));
const events = growth(metric('business_total_events'));
const share = errors.map((value, s) =>
  value === null || !events[s] ? null : (value / events[s]) * 100,
);
const purchases = growth(metric('business_total_purchases'));
const latencies = [0.5, 0.95, 0.99].map((q) => times.map((list) => quantile(list, q)));
const flat = latencies.flat().filter((v) => v !== null);

const charts = [
  chart({
    ...common,
    bands,
    height: 240,
    unit: '/s',
    title: 'Events a second',
    note: 'Sent by k6, answered as accepted, committed to the store, counted by the live side. Where they are one line, nothing lags.',
    series: [
      { name: 'sent', colour: 1, kind: 'area', values: sent },
      { name: 'accepted', colour: 4, values: growth(metric('events_accepted_total')) },
      { name: 'stored', colour: 2, values: growth(metric('events_stored_total')) },
      { name: 'counted', colour: 3, values: growth(metric('events_counted_total')) },
    ],
  }),
  chart({
    ...common,
    height: 150,
    title: 'Behind',
    note: 'Sealed events in the spool that a sink has not taken yet.',
    series: [
      { name: 'store', colour: 2, kind: 'area', values: level(metric('spool_lag_events_store')) },
      { name: 'live', colour: 3, values: level(metric('spool_lag_events_live')) },
    ],
  }),
  chart({
    ...common,
    unit: ' ms',
    log: true,
    min: Math.max(Math.min(...flat), 0.1),
    max: Math.max(...flat, 1),
    title: 'Request latency',
    note: 'From sending to 202, which means on disk; by k6, milliseconds, logarithmic.',
    series: latencies.map((values, i) => ({
      name: ['p50', 'p95', 'p99'][i],
      colour: [3, 1, 2][i],
      values,
    })),
  }),
  chart({
    ...common,
    unit: ' ms',
    height: 150,
    title: 'Age of a frame at a viewer',
    note: 'From the frame’s making to its arrival at one WebSocket viewer; highest and median of each second.',
    series: [
      {
        name: 'highest',
        colour: 2,
        values: level(({ ages }) => (ages.length ? Math.max(...ages) : null)),
      },
      { name: 'median', colour: 3, values: level(({ ages }) => quantile(ages, 0.5)) },
    ],
  }),
  chart({
    ...common,
    bands: [...bands, ...firing].map(unnamed),
    unit: ' %',
    height: 150,
    title: 'Errors',
    note: hasAlerts
      ? 'Share of error events; shaded in orange while an alert fires.'
      : 'Share of error events. This server has no alerts.',
    series: [{ name: 'error rate', colour: 2, kind: 'area', values: share }],
  }),
  chart({
    ...common,
    unit: '/s',
    height: 150,
    title: 'Orders a second',
    note: 'Purchases, as the live side counts them.',
    series: [{ name: 'purchases', colour: 3, kind: 'area', values: purchases }],
  }),
  chart({
    ...common,
    stacked: true,
    unit: ' %',
    limit: { value: cpus().length * 100, label: `all ${cpus().length} cores` },
    title: 'CPU',
    note: 'Of one core, one on top of the other; from /proc, children included.',
    series: processes.map((p, i) => ({ name: called[p], colour: i + 1, values: percent(p) })),
  }),
  chart({
    ...common,
    unit: ' MB',
    limit: { value: memory.max, label: `${memory.max} MB for Floodmark` },
    title: 'Memory',
    note: 'Resident; PostgreSQL’s without its shared buffers.',
    series: processes
      .filter((p) => p !== 'k6')
      .map((p, i) => ({
        name: called[p],
        colour: i + 1,
        kind: i ? 'line' : 'area',
        values: mb(p),
      })),
  }),
];

// --- the page -----------------------------------------------------------------------------

const ages = samples.flatMap((sample) => sample.ages);
const cpuOf = (p) => {
  const known = samples.filter((sample) => sample.cpu[p] !== null && sample.cpu[p] !== undefined);
  return known.length ? known.at(-1).cpu[p] - known[0].cpu[p] : 0;
};
const perMillion = (p) => (cpuOf(p) / server.accepted) * 1e6;
const highest = Math.max(...sent);
const told = !isDay || JSON.parse(readFileSync(`${work}/incident.json`, 'utf8')).ok;
const good = account.ok && memory.ok && told && k6.failed.length === 0;
const facts = [
  [
    'Events sent',
    n(k6.distinct),
    `in ${n((lastBegin - begin) / 1000)} s, ${n(k6.requests)} requests`,
  ],
  [
    'Busiest second',
    `${n(highest)}/s`,
    `average ${n(k6.distinct / ((lastBegin - begin) / 1000))}/s`,
  ],
  [
    'To 202, p50',
    `${n(k6.latency.p50, 1)} ms`,
    `p95 ${n(k6.latency.p95, 1)} ms, p99 ${n(k6.latency.p99, 1)} ms`,
  ],
  [
    'Frame age, p99',
    `${n(quantile(ages, 0.99))} ms`,
    `${n(samples.at(-1).frames)} frames, ${samples.at(-1).gaps} gaps`,
  ],
  [
    'CPU per 1M events',
    `${n(perMillion('server'), 2)} s`,
    processes.includes('postgres')
      ? `PostgreSQL ${n(perMillion('postgres'), 2)} s, Redis ${n(perMillion('redis'), 2)} s`
      : 'SQLite included',
  ],
  ['Highest memory', `${n(memory.highest)} MB`, `allowed: ${n(memory.max)} MB`],
];
const failures = [
  ...account.rows.filter((row) => !row.equal).map((row) => row.what),
  ...(memory.ok ? [] : ['memory']),
  ...(told ? [] : ['the incident was not told as it should be']),
  ...k6.failed,
];
const rows = account.rows
  .map(
    ({ what, a, aName, b, bName, equal }) =>
      `<tr><td>${escape(what)}</td><td class="n">${n(a)} <small>${escape(aName)}</small></td>` +
      `<td class="n">${n(b)} <small>${escape(bName)}</small></td>` +
      `<td class="${equal ? 'yes' : 'no'}">${equal ? 'equal' : `differs by ${n(b - a)}`}</td></tr>`,
  )
  .join('');
const when = (t) =>
  isDay ? clock(firstMinute + ((t - begin) / 1000) * speed) : `${n((t - begin) / 1000, 1)} s`;
const explains = (list = []) =>
  list
    .map(({ property, value, share: part }) => `${property} ${value} (${n(part * 100)} %)`)
    .join(', ');
const alertRows = fired
  .map(
    (a) =>
      `<tr><td>${escape(a.name)}</td><td>${escape(a.severity)}</td><td>${when(a.seen)} to ${when(a.until)}</td>` +
      `<td class="n">${n(a.value, 2)} <small>threshold ${n(a.threshold, 2)}</small></td><td>${escape(explains(a.explains))}</td></tr>`,
  )
  .join('');
const alertTable = fired.length
  ? `<h2>Alerts</h2><div class="table"><table><thead><tr><th>Alert</th><th>Severity</th><th>Fired</th><th>Highest value</th><th>Explained by</th></tr></thead><tbody>${alertRows}</tbody></table></div>`
  : '';
const titles = {
  'black-friday': 'A Black Friday, replayed',
  spike: 'A spike',
  soak: 'A constant load',
  outage: 'An outage of PostgreSQL under load',
  viewers: 'Viewers beside a load',
};
const what = isDay
  ? `${clock(firstMinute)} to ${clock(lastMinute + 1)} in ${n((lastBegin - begin) / 60_000, 1)} minutes, ${n(speed * 60)} times as fast. The axis is the time of the replayed day.`
  : 'The axis is the time since the first request.';
const machine = `${cpus().length} × ${cpus()[0].model.trim()}, ${n(totalmem() / 2 ** 30)} GiB, Linux ${release()}`;
const css = readFileSync(new URL('./report.css', import.meta.url), 'utf8');

writeFileSync(
  out,
  `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(titles[name])} · Floodmark</title><style>${css}</style></head><body>
<header><h1>${escape(titles[name])}</h1>
<p>${escape(what)} Server, ${processes.includes('postgres') ? 'PostgreSQL, Redis' : 'SQLite'} and load generator share one machine: ${escape(machine)}.</p>
<div class="verdict ${good ? 'good' : 'bad'}">${good ? 'Every event is accounted for; all limits kept' : escape(`Not met: ${failures.join('; ')}`)}</div></header>
<dl class="facts">${facts.map(([dt, dd, small]) => `<div><dt>${dt}</dt><dd>${dd}<small>${small}</small></dd></div>`).join('')}</dl>
<h2>Over time</h2>${charts.join('\n')}
<h2>Every event accounted for</h2>
<div class="table"><table><tbody>${rows}</tbody></table></div>
${alertTable}
<footer>Made by <code>load-tests/run ${name}</code>, ${new Date(begin).toISOString().slice(0, 16).replace('T', ' ')} UTC.</footer>
<script>${HOVER}</script></body></html>
`,
);
