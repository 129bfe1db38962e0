// The SDKs that are driven, and what each of them does by itself.
//
// each      how many events of each kind (order, refund, error, identify) it sends
// kinds     the kinds that it has; all four unless it says otherwise
// retries   it sends a request again until it is taken, so every event must arrive
// noIds     its events have no ids, so one that the server took twice is there twice
// givesUp   what it never sends again after such an end of a request, although it does after others
// quietMs   a page is done when nothing came for so long, unless that is 8 s
// config    what the server's configuration has for it
// grumbles  what it may print while requests are spoilt, each with the reason

import { SECRET } from './server.mjs';

const ALL = 'orei';
const RETRIES = { each: 250, kinds: ALL, retries: true };
// These send each request once, or drop what is answered 4xx: what was answered 2xx must be there.
const ONCE = { each: 250, kinds: ALL, retries: false };

// It prints the answer to a request that was refused, over several lines.
const AMPLITUDE = [
  /Status '\w+' provided for \d+ events/, /^(warn: )?Amplitude Logger \[Warn\]: \{(\n|$)/, /^ {2}"|^\}$/,
  /^Amplitude Logger \[Error\]: Unexpected error occurred$/, /^lost: 0 /,
];
const RESETS = ['reset-before', 'reset-after'];

function source(vendor) {
  return `[[source]]\nname = '${vendor}'\nwebhook = '${vendor}'\nsecret = '${SECRET}'\n`;
}

export const SDKS = [
  { name: 'segment', on: 'node', ...RETRIES },
  { name: 'rudder', on: 'node', ...RETRIES, grumbles: [/Response error (status|code)/] },
  { name: 'posthog', on: 'node', ...RETRIES, grumbles: [/Error while flushing PostHog/] },
  { name: 'amplitude', on: 'node', ...RETRIES, givesUp: RESETS, grumbles: AMPLITUDE },
  { name: 'jitsu', on: 'node', ...ONCE, grumbles: [/^Call to .* failed with error/] },
  { name: 'sentry', on: 'node', ...ONCE, kinds: 'e' },
  { name: 'mixpanel', on: 'node', ...ONCE, kinds: 'ore', noIds: true },
  { name: 'umami', on: 'node', ...ONCE, kinds: 'oe', noIds: true },
  { name: 'matomo', on: 'node', ...ONCE, kinds: 'o', noIds: true },
  { name: 'otlp', on: 'node', ...ONCE, kinds: 'oe', noIds: true },
  { name: 'otlp_proto', on: 'node', ...ONCE, kinds: 'oe', noIds: true },
  { name: 'cloudevents', on: 'node', ...ONCE },
  { name: 'snowplow', on: 'node', ...RETRIES, kinds: 'oe' },
  { name: 'shopify', on: 'node', ...RETRIES, kinds: 'ori', config: source('shopify') },
  { name: 'stripe', on: 'node', ...RETRIES, kinds: 'ore', config: `${source('stripe')}revenue = true\n` },
  { name: 'segment_', on: 'python', ...RETRIES },
  { name: 'rudder', on: 'python', ...RETRIES },
  { name: 'posthog_', on: 'python', ...RETRIES, grumbles: [/flush ran out of budget/] },
  { name: 'amplitude_', on: 'python', ...RETRIES, givesUp: RESETS },
  { name: 'mixpanel_', on: 'python', ...ONCE, kinds: 'ore' },
  { name: 'sentry', on: 'python', ...ONCE, kinds: 'e' },
  { name: 'ga4', on: 'python', ...ONCE, kinds: 'ore', noIds: true },
  { name: 'cloudevents_', on: 'python', ...ONCE },
  { name: 'otlp', on: 'python', ...ONCE, kinds: 'ore', noIds: true },
  { name: 'snowplow', on: 'python', ...RETRIES, kinds: 'oe' },
  { name: 'segment', on: 'browser', ...RETRIES },
  { name: 'rudder', on: 'browser', ...RETRIES },
  { name: 'posthog', on: 'browser', ...ONCE, quietMs: 20_000 },
  { name: 'amplitude', on: 'browser', ...RETRIES, grumbles: AMPLITUDE },
  { name: 'jitsu', on: 'browser', ...ONCE, grumbles: [/Call to .* failed with error/] },
  { name: 'sentry', on: 'browser', ...ONCE, kinds: 'e' },
  { name: 'mixpanel', on: 'browser', ...ONCE, kinds: 'ore' },
  { name: 'ga4', on: 'browser', ...ONCE, kinds: 'ore', noIds: true },
  { name: 'snowplow', on: 'browser', ...RETRIES, kinds: 'oe' },
  { name: 'plausible', on: 'browser', ...ONCE, kinds: 'oe', noIds: true },
];
