import { buildSelfDescribingEvent, buildStructEvent, newTracker } from '@snowplow/node-tracker';
import { BASE, all, sleep } from './common.mjs';

const lost = (what) => console.error('lost:', what);
const tracker = newTracker(
  { namespace: 'sp', appId: 'shop', encodeBase64: false },
  { endpoint: BASE, eventMethod: 'post', bufferSize: 20, onRequestFailure: ({ willRetry, message }) => willRetry || lost(message) },
);
const ecommerce = 'iglu:com.snowplowanalytics.snowplow.ecommerce';
const action = { schema: `${ecommerce}/snowplow_ecommerce_action/jsonschema/1-0-2`, data: { type: 'transaction' } };
await all({
  onOrder: (mark) =>
    tracker.track(buildSelfDescribingEvent({ event: action }), [
      {
        schema: `${ecommerce}/transaction/jsonschema/1-0-0`,
        data: { transaction_id: mark, revenue: 59.97, currency: 'EUR', payment_method: 'card' },
      },
    ]),
  onError: (mark) => tracker.track(buildStructEvent({ category: 'error', action: 'CARD_DECLINED', label: mark, value: 1 })),
});
tracker.flush?.();
await sleep(12_000);
process.exit(0);
