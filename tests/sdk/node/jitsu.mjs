import { jitsuAnalytics } from '@jitsu/js';
import { BASE, KEY, all, error, order } from './common.mjs';

const jitsu = jitsuAnalytics({ host: BASE, writeKey: `id:${KEY}`, fetch, s2s: true });
const calls = [];
// It sends each call by itself, and not again: what became of it is not its matter.
const send = (call) => calls.push(call.catch(() => {}));
await all({
  onOrder: (mark) => send(jitsu.track('Order Completed', order(mark))),
  onRefund: (mark) => send(jitsu.track('Order Refunded', order(mark))),
  onError: (mark) => send(jitsu.track('Checkout Error', error(mark))),
});
// Last, since what follows an identify carries its user, and so its mark.
await all({
  onIdentify: (mark) => send(jitsu.identify(mark, { plan: 'pro' })),
});
await Promise.all(calls);
process.exit(0);
