import * as amplitude from '@amplitude/analytics-node';
import { BASE, KEY, all, error, order } from './common.mjs';

await amplitude.init(KEY, { serverUrl: `${BASE}/2/httpapi`, flushQueueSize: 40, flushIntervalMillis: 200, flushMaxRetries: 12 }).promise;
const sent = [];
const user = { user_id: 'u1' };
await all({
  onOrder: (mark) => sent.push(amplitude.track('Order Completed', order(mark), user).promise),
  onRefund: (mark) => sent.push(amplitude.track('Order Refunded', order(mark), user).promise),
  onError: (mark) => sent.push(amplitude.track('Checkout Error', error(mark), user).promise),
  onIdentify: (mark) => sent.push(amplitude.identify(new amplitude.Identify().set('plan', 'pro'), { user_id: mark }).promise),
});
// No flush() here: what such a flush fails to send is not sent again.
for (const { code, message, event } of await Promise.all(sent)) {
  if (code !== 200) console.error('lost:', code, message, event.event_type);
}
process.exit(0);
