import { PostHog } from 'posthog-node';
import { BASE, KEY, all, error, order } from './common.mjs';

const posthog = new PostHog(KEY, { host: BASE, flushAt: 40, flushInterval: 200, fetchRetryCount: 8, fetchRetryDelay: 300 });
await all({
  onOrder: (mark) => posthog.capture({ distinctId: 'u1', event: 'Order Completed', properties: order(mark) }),
  onRefund: (mark) => posthog.capture({ distinctId: 'u1', event: 'Order Refunded', properties: order(mark) }),
  onError: (mark) => posthog.capture({ distinctId: 'u1', event: 'Checkout Error', properties: error(mark) }),
  onIdentify: (mark) => posthog.identify({ distinctId: mark, properties: { plan: 'pro' } }),
});
await posthog.shutdown(60_000);
