import { track } from '@minimal-analytics/ga4';
import { BASE, all } from './common.js';

// gtag itself can't be installed; this speaks as it does. `tid` is an id of the source.
window.minimalAnalytics = { analyticsEndpoint: `${BASE}/g/collect` };
const send = (type, event) => track('G-TEST', { type, event });
const order = (mark) => ({ 'ep.transaction_id': mark, 'epn.value': 59.97, cu: 'EUR', 'ep.mark': mark });
all({
  onOrder: (mark) => send('purchase', order(mark)),
  onRefund: (mark) => send('refund', order(mark)),
  onError: (mark) => send('exception', { 'ep.description': 'card declined', 'ep.mark': mark }),
});
