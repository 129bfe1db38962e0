import * as Sentry from '@sentry/browser';
import { BASE, KEY, all } from './common.js';

Sentry.init({
  dsn: `http://${KEY}@${new URL(BASE).host}/42`, environment: 'test',
  // A breadcrumb is an earlier error, with its mark.
  maxBreadcrumbs: 0,
  integrations: (usual) => usual.filter(({ name }) => name !== 'Dedupe'),
});
// After a 429 it drops what comes within the next second, so this takes a few seconds.
all({ onError: (mark) => Sentry.captureException(new TypeError(`card declined ${mark}`)) }, 25);
