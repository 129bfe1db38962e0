// Prints today's numbers as they change, from the WebSocket.
//
//   FLOODMARK_URL=https://numbers.example.com FLOODMARK_TOKEN=... \
//     node --experimental-websocket examples/watch.mjs
//
// Node.js 22 has WebSocket without the flag. The token is one of the server's `auth.viewer_tokens`; a
// server on your own machine needs none.

const server = process.env.FLOODMARK_URL ?? 'http://127.0.0.1:8080';
const token = process.env.FLOODMARK_TOKEN ?? '';

let totals; // counts by event type, revenue in 1/10,000, active users
let epoch; // names the server's run, for resuming
let seq; // the last frame that was seen
let pause = 500; // ms until the next try, doubled after each that fails

// Money has up to four decimals. As whole numbers they add up exactly.
const exact = (amount) => Math.round(amount * 10_000);

function add(frame) {
  if (frame.type === 'snapshot') {
    // Everything at one moment, in place of what was there before.
    const { counts, revenue, activeUsers } = frame.snapshot;
    totals = { counts: { ...counts }, revenue: exact(revenue), activeUsers };
    epoch = frame.epoch;
  } else {
    // A delta: what has been added since the frame before.
    for (const [type, count] of Object.entries(frame.counts)) {
      totals.counts[type] = (totals.counts[type] ?? 0) + count;
    }
    totals.revenue += exact(frame.revenue);
    totals.activeUsers = frame.activeUsers;
  }
  seq = frame.seq;
}

function connect() {
  const url = new URL('/api/analytics/stream', server.replace(/^http/, 'ws'));
  if (token) url.searchParams.set('token', token);
  // After a short disconnect only what was missed comes; else a snapshot.
  if (epoch) url.searchParams.set('resume', `${epoch}:${seq}`);
  const socket = new WebSocket(url);
  socket.onmessage = ({ data }) => {
    pause = 500;
    const frame = JSON.parse(data);
    add(frame);
    const isQuiet = frame.type === 'delta' && Object.keys(frame.counts).length === 0;
    if (!isQuiet) console.log(JSON.stringify({ ...totals, revenue: totals.revenue / 10_000 }));
  };
  socket.onclose = ({ code, reason }) => {
    console.error(`closed (${code} ${reason}), again in ${pause} ms`);
    setTimeout(connect, pause);
    pause = Math.min(pause * 2, 30_000);
  };
}

connect();
