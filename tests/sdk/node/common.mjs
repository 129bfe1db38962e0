// What each driver for Node.js sends: EACH orders, refunds, errors and identifies, each with its mark.

export const { BASE, KEY } = process.env;
const EACH = Number(process.env.EACH);

export const order = (mark) => ({
  order_id: mark, total: 59.97, revenue: 49.97, currency: 'EUR', mark,
  products: [{ product_id: 'p1', sku: 'SKU-1', name: 'Mug', price: 19.99, quantity: 3 }],
});
export const error = (mark) => ({ code: 'CARD_DECLINED', message: 'card declined', gateway: 'stripe', mark });

/** Calls the four functions EACH times, and lets the SDK breathe now and then; `pace` ms after each. */
export async function all({ onOrder, onRefund, onError, onIdentify }, pace = 0) {
  for (let n = 0; n < EACH; n += 1) {
    onOrder?.(`mk-o-${n}`);
    onRefund?.(`mk-r-${n}`);
    onError?.(`mk-e-${n}`);
    onIdentify?.(`mk-i-${n}`);
    if (pace > 0) await sleep(pace);
    else if (n % 5 === 4) await sleep(10);
  }
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
