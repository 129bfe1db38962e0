import mixpanel from 'mixpanel-browser';
import { BASE, KEY, all, error, order } from './common.js';

mixpanel.init(KEY, { api_host: BASE, track_pageview: false, batch_flush_interval_ms: 300, batch_size: 40, flags: false });
all({
  onOrder: (mark) => mixpanel.track('Order Completed', order(mark)),
  onRefund: (mark) => mixpanel.track('Order Refunded', order(mark)),
  onError: (mark) => mixpanel.track('Checkout Error', error(mark)),
}, 10);
