import { jitsuAnalytics } from '@jitsu/js';
import { BASE, KEY, all, error, order } from './common.js';

const jitsu = jitsuAnalytics({ host: BASE, writeKey: `id:${KEY}` });
// It sends each call by itself, and not again: what became of it is not its matter.
const send = (call) => void Promise.resolve(call).catch(() => {});
await all({
  onOrder: (mark) => send(jitsu.track('Order Completed', order(mark))),
  onRefund: (mark) => send(jitsu.track('Order Refunded', order(mark))),
  onError: (mark) => send(jitsu.track('Checkout Error', error(mark))),
}, 4, false);
// Last, since what follows an identify carries its user, and so its mark.
await all({ onIdentify: (mark) => send(jitsu.identify(mark, { plan: 'pro' })) });
