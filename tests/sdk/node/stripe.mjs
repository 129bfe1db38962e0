import Stripe from 'stripe';
import { SECRET, all, deliver } from './common.mjs';

const { webhooks } = new Stripe('sk_test_of_nobody');
const calls = [];
const now = () => Math.floor(Date.now() / 1000);

function webhook(type, object) {
  const event = { id: `evt_${type}_${object.id}`, object: 'event', type, created: now(), data: { object } };
  const sign = (payload) => ({
    'stripe-signature': webhooks.generateTestHeaderString({ payload, secret: SECRET }),
  });
  calls.push(deliver('/v1/webhooks/stripe', JSON.stringify(event), sign));
}

const money = (id, order) => ({
  id, amount: 5997, currency: 'usd', created: now(), payment_intent: 'pi_1', metadata: { order_id: order },
});
await all({
  onOrder: (mark) =>
    webhook('charge.succeeded', { object: 'charge', status: 'succeeded', ...money(`ch_${mark}`, mark) }),
  onRefund: (mark) => webhook('refund.created', { object: 'refund', status: 'succeeded', ...money(`re_${mark}`, mark) }),
  onError: (mark) =>
    webhook('charge.failed', {
      object: 'charge', status: 'failed', failure_code: 'card_declined', ...money(`ch_${mark}`, mark),
    }),
});
await Promise.all(calls);
