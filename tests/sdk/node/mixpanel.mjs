import Mixpanel from 'mixpanel';
import { BASE, KEY, all, error, order } from './common.mjs';

const mixpanel = Mixpanel.init(KEY, { host: new URL(BASE).host, protocol: 'http', keepAlive: false });
const calls = [];
// It sends each event by itself and only once; without an id, so that a test can't tell a second one.
const send = (call) => calls.push(new Promise((done) => call(() => done())));
await all({
  onOrder: (mark) => send((done) => mixpanel.track('Order Completed', { distinct_id: 'u1', ...order(mark) }, done)),
  onRefund: (mark) => send((done) => mixpanel.track('Order Refunded', { distinct_id: 'u1', ...order(mark) }, done)),
  onError: (mark) => send((done) => mixpanel.track('Checkout Error', { distinct_id: 'u1', ...error(mark) }, done)),
});
await Promise.all(calls);
process.exit(0);
