// The simplest good broadcaster with Node's `ws`: every 200 ms it serialises one frame and sends it to
// all viewers. The frames look like Floodmark's. fanout.sh runs it, and installs `ws`. With DEFLATE=1 it
// accepts the viewers' offer to compress, and compresses even small frames, as Floodmark does.
import { createRequire } from 'node:module';
const { WebSocketServer } = createRequire(process.env.WS_FROM + '/')('ws');

const server = new WebSocketServer({
  port: 0,
  host: '127.0.0.1',
  perMessageDeflate: process.env.DEFLATE ? { threshold: 0, serverNoContextTakeover: true } : false,
});
server.on('listening', () => console.log(`http://127.0.0.1:${server.address().port}`));

let seq = 0;
const counts = (n) => Object.fromEntries([0, 1, 2, 3, 4].map((i) => [`a-type-of-event-${i}`, n]));
setInterval(() => {
  seq += 1;
  const timestamp = Date.now();
  const frame = Buffer.from(JSON.stringify({
    type: 'delta', seq, counts: counts(4), revenue: 0, activeUsers: 0, timestamp,
    seconds: [{ timestamp: timestamp - (timestamp % 1000), counts: counts(4), revenue: 0 }],
  }));
  for (const client of server.clients) client.send(frame, { binary: false });
}, 200);
setInterval(() => { for (const client of server.clients) client.ping(); }, 15000);
