// What each page sends: EACH orders, refunds, errors and identifies, each with its mark. What the SDK
// says goes to the page's own server.

export const { base: BASE, key: KEY } = window.TEST;
const EACH = window.TEST.each;

export const order = (mark) => ({ order_id: mark, total: 59.97, revenue: 49.97, currency: 'EUR', mark });
export const error = (mark) => ({ code: 'CARD_DECLINED', message: 'card declined', gateway: 'stripe', mark });
export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Without `keepalive`: a browser allows 64 KiB of such requests at a time, which some SDKs use up, and
// what is said here would then fail.
const tell = (what) => fetch('/said', { method: 'POST', body: what });
for (const kind of ['log', 'warn', 'error', 'info']) {
  const own = console[kind];
  console[kind] = (...words) => {
    own(...words);
    tell(`${kind}: ${words.map(String).join(' ').slice(0, 300)}`);
  };
}
addEventListener('unhandledrejection', (event) => tell(`unhandled: ${event.reason}`));
addEventListener('error', (event) => tell(`error: ${event.message}`));

/** Calls the four functions EACH times, `pace` ms apart, and says that it has. */
export async function all({ onOrder, onRefund, onError, onIdentify }, pace = 4, isLast = true) {
  for (let n = 0; n < EACH; n += 1) {
    onOrder?.(`mk-o-${n}`);
    onRefund?.(`mk-r-${n}`);
    onError?.(`mk-e-${n}`);
    onIdentify?.(`mk-i-${n}`);
    await sleep(pace);
  }
  if (isLast) await tell('sent');
}
