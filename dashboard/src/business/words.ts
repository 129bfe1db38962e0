// Alerts and metrics in the words of a shop's office.

import { age, clockMinute, count, lastWindow, money, percent } from '../format';
import { toMoneyUnits } from '../stream/frames';
import type { Alert, Explanation, Unit } from './shapes';

/** 0.3124 of a ratio is "31.24%", 12.5 of money "$12.50". */
export function metricText(value: number | null | undefined, unit: Unit, currency: string): string {
  if (value === null || value === undefined) return '–';
  switch (unit) {
    case 'money':
      // An average has more digits than anybody pays.
      return money(Math.round(toMoneyUnits(value) / 100) * 100, currency);
    case 'ratio':
      return percent(value);
    case 'count':
    case 'number':
      return count(value);
  }
}

/** "checkout_error_rate" is "Checkout error rate". */
export function nameInWords(name: string): string {
  const words = name.replaceAll('_', ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** 60 is "in the last minute", 300 "in the last 5 minutes", 0 nothing. */
export const windowInWords = (seconds: number): string => (seconds > 0 ? `in the ${lastWindow(seconds)}` : '');

const share = (value: number): string => `${Math.round(value * 100)}%`;

export const explanationInWords = ({ property, value, share: part }: Explanation): string =>
  `${property} ${value}: ${share(part)} of what is new`;

export interface AlertWords {
  /** "Checkout errors" */
  title: string;
  /** "31.24% in the last minute, usually 4.00%" */
  what: string;
  /** "gateway adyen: 94% of what is new" */
  why: string;
  /** "since 14:02, 3 min" */
  since: string;
}

export function alertInWords(alert: Alert, currency: string, timezone: string, now: number): AlertWords {
  const { unit } = alert;
  const parts: string[] = [];
  if (alert.value !== null) {
    const value = metricText(alert.value, unit, currency);
    parts.push([value, windowInWords(alert.windowSeconds)].filter(Boolean).join(' '));
  }
  if (alert.baseline !== null) parts.push(`usually ${metricText(alert.baseline, unit, currency)}`);
  else if (alert.threshold !== null) parts.push(`the limit is ${metricText(alert.threshold, unit, currency)}`);
  const from = clockMinute(alert.since, timezone);
  return {
    title: alert.title,
    what: parts.join(', '),
    why: alert.explains.map(explanationInWords).join('; '),
    since:
      alert.until === null
        ? `since ${from}, ${age(now - alert.since)}`
        : `${from} to ${clockMinute(alert.until, timezone)}`,
  };
}
