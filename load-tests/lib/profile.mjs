// node profile.mjs > profile.json: makes the curve of the day. It is 1 at night, ten times that when the
// offers open at midnight and again at noon, and has a long evening.

// Events a second at the highest minute, at scale 1. The stages of a replay cut the tip off; over a
// whole second of it, the rate still stays above 50,000.
const PEAK = 55_000;
const bell = (minute, at, width) => Math.exp(-(((minute - at) / width) ** 2) / 2);
// A curve that rises quickly and falls slowly.
const rush = (minute, at, rise, fall) => bell(minute, at, minute < at ? rise : fall);

function traffic(minute) {
  const day = 1 + 2.4 * bell(minute, 15 * 60, 260); // people are awake
  const opening = 9 * rush(minute, 6, 4, 38); // 00:00, the offers open
  const morning = 2.2 * rush(minute, 8 * 60, 50, 70);
  const noon = 6.9 * rush(minute, 12 * 60 + 10, 26, 34);
  const evening = 3.6 * rush(minute, 20 * 60 + 30, 80, 60);
  const last = 1.4 * rush(minute, 23 * 60 + 45, 14, 10); // before it is over
  // Newsletters and pushes on the hour give the curve its teeth. Nothing is random, so that the
  // file is always the same.
  const teeth =
    1 + 0.12 * bell(minute % 60, 4, 3) + 0.03 * Math.sin(minute * 2.1) * Math.sin(minute * 0.37);
  return (day + opening + morning + noon + evening + last) * teeth;
}

const curve = Array.from({ length: 1440 }, (_, minute) => traffic(minute));
const highest = Math.max(...curve);
const rates = curve.map((value) => Math.round((value / highest) * PEAK));
const hours = Array.from({ length: 24 }, (_, hour) =>
  rates.slice(hour * 60, hour * 60 + 60).join(','),
);

console.log(`{
"about": "One Black Friday, minute by minute from 00:00: events a second at scale 1. Made by lib/profile.mjs.",
"incident": {"from": 840, "to": 900, "gateway": "stripe", "failing": 0.75,
  "code": "gateway_timeout", "path": "/checkout/payment"},
"rates": [
${hours.join(',\n')}
]}`);
