import { RudderAnalytics } from '@rudderstack/analytics-js/bundled';
import { BASE, KEY, all, error, order } from './common.js';

const rudder = new RudderAnalytics();
const queueOptions = { minRetryDelay: 300, maxRetryDelay: 1000, maxAttempts: 10, maxItems: 2000 };
rudder.load(KEY, BASE, { configUrl: BASE, queueOptions });
all({
  onOrder: (mark) => rudder.track('Order Completed', order(mark)),
  onRefund: (mark) => rudder.track('Order Refunded', order(mark)),
  onError: (mark) => rudder.track('Checkout Error', error(mark)),
  onIdentify: (mark) => rudder.identify(mark, { plan: 'pro' }),
});
