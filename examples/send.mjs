// Sends events to Floodmark from a shop's back end. Needs nothing but Node.js 20.
//
//   FLOODMARK_URL=https://numbers.example.com FLOODMARK_KEY=... node examples/send.mjs
//
// The key is one of the server's `auth.write_keys`. A server on your own machine needs none.

import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

const url = `${process.env.FLOODMARK_URL ?? 'http://127.0.0.1:8080'}/v1/events`;
const key = process.env.FLOODMARK_KEY ?? '';

/** An event of this moment. With an id it counts once, however often it is sent. */
function event(type, sessionId, properties = {}) {
  return { type, id: randomUUID(), timestamp: Date.now(), sessionId, properties };
}

/** Sends events and returns the server's answer. Once this resolves, they are on its disk. */
async function send(events, tries = 5) {
  const headers = { 'Content-Type': 'application/json', 'X-Write-Key': key };
  const body = JSON.stringify(events);
  for (let left = tries - 1; ; left--) {
    let response;
    try {
      response = await fetch(url, { method: 'POST', headers, body, signal: AbortSignal.timeout(30_000) });
    } catch (error) {
      // No answer: perhaps it came, perhaps not. Thanks to the ids it is safe to try again.
      if (left === 0) throw error;
      await sleep(1000);
      continue;
    }
    if (response.ok) return response.json();
    // 429 and 503 say when to come back; any other answer would be the same again.
    if (left === 0 || ![429, 503].includes(response.status)) {
      throw new Error(`${response.status}: ${await response.text()}`);
    }
    await sleep(1000 * Number(response.headers.get('Retry-After') ?? 1));
  }
}

const answer = await send([
  event('page_view', 's1', { path: '/' }),
  event('purchase', 's1', { amount: 19.99, currency: 'USD', gateway: 'paypal' }),
  event('purchase', 's2'), // without an amount: refused, and the others are taken all the same
]);
console.log('accepted', answer.accepted);
for (const { index, code, message } of answer.rejected) console.log('rejected', index, code, message);
