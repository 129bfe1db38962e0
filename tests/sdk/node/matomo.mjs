import Matomo from 'matomo-tracker';
import { BASE, all, sleep } from './common.mjs';

const matomo = new Matomo(1, `${BASE}/matomo.php`);
// What became of a request it tells by this event only, and sends nothing again.
matomo.on('error', () => {});
const url = 'https://shop.example/checkout';
await all({
  onOrder: (mark) => matomo.track({ url, idgoal: 0, ec_id: mark, revenue: 59.97, _id: '0123456789abcdef' }),
});
await sleep(2_000);
process.exit(0);
