import { flushBuffer, newTracker, trackSelfDescribingEvent, trackStructEvent } from '@snowplow/browser-tracker';
import { BASE, all } from './common.js';

newTracker('sp', BASE, { appId: 'shop', eventMethod: 'post', bufferSize: 20, retryFailedRequests: true });
const ecommerce = 'iglu:com.snowplowanalytics.snowplow.ecommerce';
const action = { schema: `${ecommerce}/snowplow_ecommerce_action/jsonschema/1-0-2`, data: { type: 'transaction' } };
all({
  onOrder: (mark) =>
    trackSelfDescribingEvent({
      event: action,
      context: [
        {
          schema: `${ecommerce}/transaction/jsonschema/1-0-0`,
          data: { transaction_id: mark, revenue: 59.97, currency: 'EUR', payment_method: 'card' },
        },
      ],
    }),
  onError: (mark) => trackStructEvent({ category: 'error', action: 'CARD_DECLINED', label: mark, value: 1 }),
});
// Fewer events than fill a buffer wait for the next event, also where a request with them has failed. On a
// page that somebody uses there is always one.
setInterval(flushBuffer, 1_000);
