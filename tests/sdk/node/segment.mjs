import { Analytics } from '@segment/analytics-node';
import { BASE, KEY, all, error, order } from './common.mjs';

const segment = new Analytics({ writeKey: KEY, host: BASE, flushAt: 40, flushInterval: 200 });
segment.on('error', (e) => console.error('lost:', e.code, String(e.reason ?? e)));
await all({
  onOrder: (mark) => segment.track({ userId: 'u1', event: 'Order Completed', properties: order(mark) }),
  onRefund: (mark) => segment.track({ userId: 'u1', event: 'Order Refunded', properties: order(mark) }),
  onError: (mark) => segment.track({ userId: 'u1', event: 'Checkout Error', properties: error(mark) }),
  onIdentify: (mark) => segment.identify({ userId: mark, traits: { plan: 'pro' } }),
});
await segment.closeAndFlush({ timeout: 60_000 });
