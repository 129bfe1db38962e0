import { AnalyticsBrowser } from '@segment/analytics-next';
import { BASE, KEY, all, error, order } from './common.js';

const apiHost = `${new URL(BASE).host}/v1`;
const deliveryStrategy = { strategy: 'batching', config: { size: 40, timeout: 300 } };
const segment = AnalyticsBrowser.load(
  { writeKey: KEY, cdnURL: BASE },
  { integrations: { 'Segment.io': { apiHost, protocol: 'http', deliveryStrategy } } },
);
all({
  onOrder: (mark) => segment.track('Order Completed', order(mark)),
  onRefund: (mark) => segment.track('Order Refunded', order(mark)),
  onError: (mark) => segment.track('Checkout Error', error(mark)),
  onIdentify: (mark) => segment.identify(mark, { plan: 'pro' }),
});
