import posthog from 'posthog-js/dist/module.no-external';
import { BASE, KEY, all, error, order } from './common.js';

posthog.init(KEY, {
  api_host: BASE, disable_session_recording: true, autocapture: false, capture_exceptions: false,
  disable_surveys: true, capture_pageview: false, capture_pageleave: false, advanced_disable_flags: true,
  request_queue_config: { flush_interval_ms: 250 },
  // A headless browser is a bot to it, whose events it would not send.
  opt_out_useragent_filter: true,
  // The test sends faster than people click.
  rate_limiting: { events_per_second: 1000, events_burst_limit: 10_000 },
});
all({
  onOrder: (mark) => posthog.capture('Order Completed', order(mark)),
  onRefund: (mark) => posthog.capture('Order Refunded', order(mark)),
  onError: (mark) => posthog.capture('Checkout Error', error(mark)),
  onIdentify: (mark) => posthog.setPersonProperties({ plan: mark }),
}, 20);
