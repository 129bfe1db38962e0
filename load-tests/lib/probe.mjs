// node --experimental-websocket probe.mjs BASE SECONDS: measures the time from posting an event to
// the frame that shows it. One viewer watches the stream. One event of the type `probe` is posted
// at a time, at a random moment, and the next one only once it was seen. Prints the times as JSON.

const [base, seconds] = process.argv.slice(2);
const PATIENCE_MS = 20_000;
const PAUSE_MS = 60; // random pauses up to this, so that posts fall anywhere between two ticks

let seen;
const socket = new WebSocket(`${base.replace('http', 'ws')}/api/analytics/stream`);
await new Promise((open, failed) => {
  socket.onopen = open;
  socket.onerror = () => failed(new Error(`no stream at ${base}`));
});
socket.onmessage = ({ data }) => {
  const frame = JSON.parse(data);
  if (frame.type === 'delta' && frame.counts.probe) seen?.(frame.counts.probe);
};

const times = [];
const answers = [];
const end = Date.now() + seconds * 1000;
while (Date.now() < end) {
  await new Promise((done) => setTimeout(done, Math.random() * PAUSE_MS));
  const shown = new Promise((done, failed) => {
    const timer = setTimeout(() => failed(new Error('a frame is missing')), PATIENCE_MS);
    seen = (count) => {
      clearTimeout(timer);
      done(count);
    };
  });
  const begin = performance.now();
  const post = fetch(`${base}/v1/events`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"type":"probe","sessionId":"probe"}',
  }).then(async (answer) => {
    await answer.arrayBuffer();
    if (answer.status !== 202) throw new Error(`status ${answer.status}`);
    answers.push(performance.now() - begin);
  });
  const count = await shown;
  times.push(performance.now() - begin);
  await post;
  if (count !== 1) throw new Error(`${count} probes in one frame, one was sent`);
}
socket.close();

const quantile = (list, q) => {
  const sorted = [...list].sort((a, b) => a - b);
  return Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))]);
};
console.log(
  JSON.stringify({
    probes: times.length,
    p50: quantile(times, 0.5),
    p95: quantile(times, 0.95),
    p99: quantile(times, 0.99),
    max: quantile(times, 1),
    answerP50: quantile(answers, 0.5),
    answerP99: quantile(answers, 0.99),
  }),
);
process.exit(0);
