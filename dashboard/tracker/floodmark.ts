// What a page loads: `<script async src="https://HOST/floodmark.js" data-key="KEY"></script>`.
//
// It counts page views and errors, sends what `floodmark.track(type, properties)` is given, and sets
// `window.floodmark`. The files beside this one are its parts: queue.ts says what is never lost and never
// counted twice.

import { watchErrors } from './errors';
import { watchPaths } from './page_views';
import { failures, send, sendLast } from './queue';
import { settings, tag } from './settings';
import { type Tracker, tracker } from './track';

declare global {
  interface Window {
    floodmark?: Tracker | Parameters<Tracker['track']>[];
  }
  interface Navigator {
    globalPrivacyControl?: boolean;
  }
  interface Document {
    prerendering?: boolean;
  }
}

/** The next look after one at the start: what a page has left behind that has only just closed is sent then. */
const SECOND_LOOK_MS = 4_000;

function begin(): void {
  const early = window.floodmark ?? [];
  // A second tag on the same page.
  if (!Array.isArray(early)) return;
  window.floodmark = tracker;
  const asksNotTo = navigator.doNotTrack === '1' || navigator.globalPrivacyControl;
  if ('dnt' in settings && asksNotTo) {
    tracker.track = () => {};
    return;
  }
  if (settings.errors !== 'off') watchErrors(tracker.track);
  if (settings.pageViews !== 'off') watchPaths(tracker.track);
  early.forEach(tracker.push);
  addEventListener('pagehide', sendLast);
  addEventListener('visibilitychange', () => document.hidden && !failures && send());
  addEventListener('online', send);
  addEventListener('pageshow', send);
  setTimeout(send, SECOND_LOOK_MS);
}

// A page that is only prepared, in case its visitor goes there, has not been seen.
if (tag && document.prerendering) addEventListener('prerenderingchange', begin, { once: true });
else if (tag) begin();
