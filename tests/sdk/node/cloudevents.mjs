import { CloudEvent, emitterFor, httpTransport } from 'cloudevents';
import { BASE, KEY, all, error, order } from './common.mjs';

const emit = emitterFor(httpTransport(`${BASE}/v1/cloudevents?key=${KEY}`));
const calls = [];
// It sends each event once, and says to its caller what failed.
const send = (type, data, more) => calls.push(emit(new CloudEvent({ type, source: '/shop', data, ...more })).catch(() => {}));
await all({
  onOrder: (mark) => send('Order Completed', order(mark)),
  onRefund: (mark) => send('Order Refunded', order(mark)),
  onError: (mark) => send('Checkout Error', error(mark)),
  onIdentify: (mark) => send('identify', { plan: 'pro', mark }, { userid: mark }),
});
await Promise.all(calls);
