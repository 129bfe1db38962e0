import '@shopify/shopify-api/adapters/node';
import { HashFormat, createSHA256HMAC } from '@shopify/shopify-api/runtime';
import { SECRET, all, deliver } from './common.mjs';

const calls = [];
let deliveries = 0;
function webhook(topic, object) {
  const id = `delivery-${(deliveries += 1)}`;
  const sign = async (body) => ({
    'x-shopify-topic': topic,
    'x-shopify-event-id': id,
    'x-shopify-hmac-sha256': await createSHA256HMAC(SECRET, body, HashFormat.Base64),
  });
  calls.push(deliver('/v1/webhooks/shopify', JSON.stringify(object), sign));
}

const now = new Date().toISOString();
// Ids of Shopify are beyond 2^53, where a number of JavaScript is not exact.
const number = (mark) => 5_000_000_000_000 + Number(mark.split('-').at(-1));
await all({
  onOrder: (mark) =>
    webhook('orders/paid', {
      id: number(mark), name: mark, total_price: '59.97', currency: 'USD', created_at: now, updated_at: now,
      financial_status: 'paid', line_items: [{ quantity: 3 }], customer: { id: 7, email: 'a@shop.example' },
    }),
  onRefund: (mark) =>
    webhook('refunds/create', {
      id: number(mark), order_id: mark, created_at: now,
      transactions: [{ amount: '5.00', currency: 'USD', kind: 'refund', status: 'success' }],
    }),
  onIdentify: (mark) => webhook('customers/create', { id: mark, created_at: now }),
});
await Promise.all(calls);
