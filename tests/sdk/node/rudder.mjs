import { createRequire } from 'node:module';
import { BASE, KEY, all, error, order, sleep } from './common.mjs';

const Rudder = createRequire(import.meta.url)('@rudderstack/rudder-sdk-node');
let waiting = 0;
const said = (e) => {
  waiting -= 1;
  if (e) console.error('lost:', String(e));
};
const rudder = new (Rudder.default ?? Rudder)(KEY, {
  dataPlaneUrl: BASE, flushAt: 40, flushInterval: 200, errorHandler: () => {},
  // On a busy machine one batch may meet more of the faults than the usual three tries.
  retryCount: 8,
});
const send = (call, message) => {
  waiting += 1;
  rudder[call](message, said);
};
await all({
  onOrder: (mark) => send('track', { userId: 'u1', event: 'Order Completed', properties: order(mark) }),
  onRefund: (mark) => send('track', { userId: 'u1', event: 'Order Refunded', properties: order(mark) }),
  onError: (mark) => send('track', { userId: 'u1', event: 'Checkout Error', properties: error(mark) }),
  onIdentify: (mark) => send('identify', { userId: mark, traits: { plan: 'pro' } }),
});
while (waiting > 0) {
  await rudder.flush().catch(() => {});
  await sleep(200);
}
process.exit(0);
