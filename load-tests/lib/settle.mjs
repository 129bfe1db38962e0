// node settle.mjs BASE SECONDS: waits until both sinks have everything that was accepted and
// /current shows it, and prints how long that took. The exit code is 1 if SECONDS were not enough.

const [base, seconds] = process.argv.slice(2);
const begin = Date.now();
let state = {};

async function look() {
  const { lag } = await (await fetch(`${base}/readyz`)).json();
  const text = await (await fetch(`${base}/metrics`)).text();
  const sum = (name) =>
    text.split('\n').reduce((total, line) => {
      const is = line.startsWith(`${name} `) || line.startsWith(`${name}{`);
      return is ? total + Number(line.split(' ').pop()) : total;
    }, 0);
  const { events } = await (await fetch(`${base}/api/analytics/current`)).json();
  const accepted = sum('floodmark_events_accepted_total');
  const [stored, counted] = ['stored', 'counted'].map((what) =>
    sum(`floodmark_events_${what}_total`),
  );
  state = { accepted, stored, counted, current: events, lag };
  const behind = lag.store.batches + lag.live.batches;
  return behind === 0 && stored === accepted && counted === accepted && events === accepted;
}

let first;
while (Date.now() - begin < seconds * 1000) {
  if (await look().catch(() => false)) {
    const behind = first ? first.store.events + first.live.events : 0;
    console.log(
      `settled: ${Date.now() - begin} ms after the last request, ${behind} events behind then`,
    );
    process.exit(0);
  }
  first ??= state.lag;
  await new Promise((done) => setTimeout(done, 100));
}
console.log(`FAIL not settled in ${seconds} s: ${JSON.stringify(state)}`);
process.exit(1);
