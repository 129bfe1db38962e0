import * as Sentry from '@sentry/node';
import { BASE, KEY, all, sleep } from './common.mjs';

Sentry.init({ dsn: `http://${KEY}@${new URL(BASE).host}/42`, environment: 'test', integrations: (all) => all.filter(({ name }) => name !== 'Dedupe') });
// After a 429 it drops what comes within the next second, so this takes a few seconds.
const pace = 25;
await all({
  onError: (mark) => Sentry.captureException(new TypeError(`card declined ${mark}`), { tags: { mark } }),
}, pace);
await Sentry.flush(20_000);
await sleep(200);
process.exit(0);
