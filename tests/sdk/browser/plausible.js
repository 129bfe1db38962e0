import { init, track } from '@plausible-analytics/tracker';
import { BASE, all, error } from './common.js';

init({ domain: 'shop.example', endpoint: `${BASE}/api/event`, captureOnLocalhost: true, autoCapturePageviews: false });
all({
  onOrder: (mark) => track('Purchase', { props: { order_id: mark, mark }, revenue: { currency: 'EUR', amount: 59.97 } }),
  onError: (mark) => track('Checkout Error', { props: error(mark) }),
});
