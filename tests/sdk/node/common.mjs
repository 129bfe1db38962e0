// What each driver for Node.js sends: EACH orders, refunds, errors and identifies, each with its mark.

export const { BASE, KEY, SECRET } = process.env;
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

/** Posts a webhook until it is answered 2xx, as vendors do; `sign` gives the headers of each try. */
export async function deliver(path, body, sign) {
  for (let tries = 0; tries < 20; tries += 1) {
    const headers = { 'content-type': 'application/json', ...(await sign(body)) };
    const answer = await fetch(BASE + path, { method: 'POST', headers, body }).catch(() => null);
    await answer?.arrayBuffer();
    if (answer?.ok) return;
    await sleep(100);
  }
  throw new Error(`${path} is not taken`);
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
