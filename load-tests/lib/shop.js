// The traffic: requests of a shop's collectors. They are prepared before the run, so that the load
// generator has little work for each. The visitors behave like those of src/demo.
//
// A prepared request is a list of texts. What changes from one use to the next lies between
// them: `render` joins them with a stamp (number of the request, time, generation of the
// sessions), then splits and joins once more for the minute of the replayed day.

const PRODUCTS = [
  ['HW-101', 'kitchen', 'moka-pot', 'Moka pot, 6 cups', 3490],
  ['HW-117', 'kitchen', 'cast-iron-pan', 'Cast iron pan', 5450],
  ['HM-201', 'home', 'wool-blanket', 'Wool blanket', 8900],
  ['HM-210', 'home', 'candle-cedar', 'Candle, cedar', 1850],
  ['OD-301', 'outdoors', 'day-pack', 'Day pack, 22 l', 9950],
  ['OD-312', 'outdoors', 'steel-bottle', 'Steel bottle, 0.7 l', 2490],
  ['SD-402', 'sound', 'headphones', 'Headphones, closed', 12900],
  ['SD-415', 'sound', 'earbuds', 'Earbuds', 5990],
  ['BK-509', 'books', 'field-notes', 'Notebooks, set of 5', 1295],
];
const COUNTRIES = ['US', 'US', 'US', 'DE', 'DE', 'GB', 'FR', 'NL', 'CA', 'SE', 'PL'];
const DEVICES = ['mobile', 'mobile', 'desktop'];
const REFERRERS = ['google.com', 'google.com', 'direct', 'instagram.com', 'newsletter'];
// Each entry with the percentage of itself and all entries before it.
const GATEWAYS = [
  ['stripe', 52],
  ['paypal', 81],
  ['adyen', 94],
  ['klarna', 100],
];
const PAGE_ERRORS = [
  ['404', 'Page not found'],
  ['500', 'Internal server error'],
  ['js_type_error', "undefined is not an object (evaluating 'item.price')"],
  ['502', 'Bad gateway'],
];
// Placeholders: no event holds these characters.
const STAMP = '\u0001';
const MINUTE = '\u0002';

// A small random number generator (mulberry32) with a fixed seed: every run has the same requests.
function dice(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const below = (n) => Math.floor(next() * n);
  return { chance: (p) => next() < p, below, pick: (list) => list[below(list.length)] };
}

// The steps of one visitor until it leaves, each as `[type, properties]`.
function* visit(roll, incident) {
  const draw = roll.below(100);
  const gateway = GATEWAYS.find(([, upTo]) => draw < upTo)[0];
  const who = { device: roll.pick(DEVICES), country: roll.pick(COUNTRIES) };
  let product = roll.pick(PRODUCTS);
  const landing = roll.chance(0.4) ? '/' : `/p/${product[2]}`;
  yield ['page_view', { path: landing, referrer: roll.pick(REFERRERS), ...who }];
  if (roll.chance(0.32)) return;
  const cart = [];
  for (;;) {
    product = roll.pick(PRODUCTS);
    const [sku, category, slug, name, cents] = product;
    const path = roll.chance(0.57) ? `/p/${slug}` : `/c/${category}`;
    if (roll.chance(0.012)) {
      const [code, message] = roll.pick(PAGE_ERRORS);
      yield ['error', { code, message, path, ...who }];
    } else {
      yield ['page_view', { path, ...who }];
    }
    if (roll.chance(0.16)) {
      const line = { sku, price: cents / 100, quantity: roll.chance(0.84) ? 1 : 2 };
      cart.push(line);
      yield ['add_to_cart', { name, category, ...line, ...who }];
      if (roll.chance(0.52)) break;
      if (roll.chance(0.37)) return;
    } else if (roll.chance(0.16)) {
      return;
    }
  }
  const quantity = cart.reduce((sum, line) => sum + line.quantity, 0);
  const cents = cart.reduce((sum, line) => sum + Math.round(line.price * 100) * line.quantity, 0);
  const value = cents / 100;
  yield ['begin_checkout', { value, currency: 'USD', quantity, ...who }];
  if (roll.chance(0.25)) return;
  if (roll.chance(0.18)) {
    yield ['signup', { method: roll.pick(['email', 'google', 'apple']), ...who }];
  }
  for (let tries = 1; ; tries++) {
    const down = incident && gateway === incident.gateway && roll.chance(incident.failing);
    if (!down && !roll.chance(0.035)) break;
    const [code, message] = down
      ? [incident.code, 'The payment gateway did not answer in 30 s']
      : ['card_declined', 'The bank declined the card'];
    yield ['error', { code, message, path: '/checkout/payment', gateway, ...who }];
    if (tries === 3 || !roll.chance(0.7)) return;
  }
  yield ['purchase', { amount: value, currency: 'USD', quantity, items: cart, gateway, ...who }];
  yield ['page_view', { path: '/thanks', ...who }];
}

const hex = (number, digits) => number.toString(16).padStart(digits, '0');

/**
 * Prepares `count` requests of `batch` events: `{texts, purchases, cents, errors, pageViews,
 * bad}`, where the numbers say what one use of it adds to the counters. `incident` (see
 * profile.json) is a failing payment gateway, or null; with `bad`, the first request holds an
 * event that must be refused.
 */
export function prepare(seed, count, batch, incident, bad) {
  const roll = dice(seed);
  const requests = [];
  let visitors = [];
  let number = 0;
  for (let r = 0; r < count; r++) {
    const request = { purchases: 0, cents: 0, errors: 0, pageViews: 0, bad: 0 };
    const events = [];
    while (events.length < batch) {
      // About four events of a visitor fall into one request.
      if (visitors.length < batch / 4) {
        number += 1;
        const user = roll.chance(0.3) ? `"userId":"u${roll.below(40000)}",` : '';
        visitors.push({ number, user, steps: visit(roll, incident) });
      }
      const visitor = visitors[roll.below(visitors.length)];
      const { value, done } = visitor.steps.next();
      if (done) {
        visitors = visitors.filter((other) => other !== visitor);
        continue;
      }
      let [type] = value;
      const [, properties] = value;
      if (bad && r === 0 && type === 'page_view' && request.bad === 0) {
        type = 'purchase'; // one without an amount
        request.bad = 1;
      } else if (type === 'purchase') {
        request.purchases += 1;
        request.cents += Math.round(properties.amount * 100);
      }
      if (type === 'error') request.errors += 1;
      if (type === 'page_view') request.pageViews += 1;
      const facts = JSON.stringify(properties).slice(0, -1);
      events.push(
        `{"type":"${type}","id":"${hex(events.length, 8)}-${STAMP}${hex(visitor.number, 5)}",` +
          `${visitor.user}"properties":${facts},"minute":${MINUTE}}}`,
      );
    }
    requests.push({ ...request, texts: `[${events.join(',')}]`.split(STAMP) });
  }
  return requests;
}

/** What makes all ids of a request unique: `run` is four hex digits. */
export function stamp(run, number, now, generation) {
  const id = `${run}-7000-8000-${hex(number, 12)}`;
  return `${id}","timestamp":${now},"sessionId":"${run}-${generation}-`;
}

/** The body of a prepared request. */
export function render(texts, mark, minute) {
  return texts.join(mark).split(MINUTE).join(minute);
}
