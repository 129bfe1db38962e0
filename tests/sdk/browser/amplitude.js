import * as amplitude from '@amplitude/analytics-browser';
import { BASE, KEY, all, error, order } from './common.js';

amplitude.init(KEY, 'u1', {
  serverUrl: `${BASE}/2/httpapi`, autocapture: false, fetchRemoteConfig: false, flushIntervalMillis: 300,
  flushQueueSize: 40, flushMaxRetries: 12,
});
all({
  onOrder: (mark) => amplitude.track('Order Completed', order(mark)),
  onRefund: (mark) => amplitude.track('Order Refunded', order(mark)),
  onError: (mark) => amplitude.track('Checkout Error', error(mark)),
  onIdentify: (mark) => amplitude.identify(new amplitude.Identify().set('plan', 'pro'), { user_id: mark }),
});
