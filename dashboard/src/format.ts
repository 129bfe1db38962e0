// Numbers, money and times in words. Every Intl object is made once for its settings: making one
// costs more than a thousand uses of it.

import { MONEY_SCALE, type MoneyUnits } from './stream/frames';

const cache = new Map<string, unknown>();

function once<T>(key: string, make: () => T): T {
  if (!cache.has(key)) cache.set(key, make());
  return cache.get(key) as T;
}

/** The browser's locale; tests set their own. */
let locale: string | undefined;

export function setLocale(tag: string): void {
  locale = tag;
  cache.clear();
}

/** "59.97": the exact digits, without trailing zeros. */
export function moneyDigits(units: MoneyUnits): string {
  const sign = units < 0 ? '-' : '';
  const whole = Math.floor(Math.abs(units) / MONEY_SCALE);
  const rest = Math.abs(units) % MONEY_SCALE;
  const fraction = String(rest).padStart(4, '0').replace(/0+$/, '');
  return `${sign}${whole}${fraction && `.${fraction}`}`;
}

function moneyFormat(currency: string, name: string, options: Intl.NumberFormatOptions): Intl.NumberFormat {
  return once(`money ${name} ${currency}`, () => {
    const base = { style: 'currency', currency, currencyDisplay: 'narrowSymbol' } as const;
    try {
      return new Intl.NumberFormat(locale, { ...base, ...options });
    } catch {
      // A configured currency that is no ISO 4217 code still deserves its number.
      return new Intl.NumberFormat(locale, { minimumFractionDigits: 2, ...options });
    }
  });
}

/** The digits as a string, since a large sum with four decimals doesn't fit a float. */
const exact = (units: MoneyUnits): Intl.StringNumericLiteral => moneyDigits(units) as Intl.StringNumericLiteral;

const exactMoneyFormat = (currency: string): Intl.NumberFormat =>
  moneyFormat(currency, 'exact', { maximumFractionDigits: 4 });

/** "$128,412.35". More than the currency's usual digits only where there are some. */
export const money = (units: MoneyUnits, currency: string): string => exactMoneyFormat(currency).format(exact(units));

/** The same in two parts, so that the cents can be set smaller: ["$128,412", ".35"]. */
export function moneyParts(units: MoneyUnits, currency: string): { main: string; cents: string; tail: string } {
  const parts = { main: '', cents: '', tail: '' };
  for (const { type, value } of exactMoneyFormat(currency).formatToParts(exact(units))) {
    if (type === 'decimal' || type === 'fraction') parts.cents += value;
    else if (parts.cents === '') parts.main += value;
    else parts.tail += value;
  }
  return parts;
}

/** "$128,412", for the window's title. */
export const moneyWhole = (units: MoneyUnits, currency: string): string =>
  moneyFormat(currency, 'whole', { maximumFractionDigits: 0, minimumFractionDigits: 0 }).format(exact(units));

/** "$1.2K", for axes. `value` in the currency's unit. */
export const moneyCompact = (value: number, currency: string): string =>
  value !== 0 && Math.abs(value) < 10 && !Number.isInteger(value)
    ? moneyFormat(currency, 'small', { maximumFractionDigits: 4 }).format(value)
    : moneyFormat(currency, 'compact', {
        notation: 'compact',
        minimumFractionDigits: 0,
        maximumFractionDigits: 1,
      }).format(value);

/** "1,840" */
export const count = (value: number): string => once('count', () => new Intl.NumberFormat(locale)).format(value);

/** "1.8K", for axes. */
export const countCompact = (value: number): string =>
  once('compact', () => new Intl.NumberFormat(locale, { notation: 'compact', maximumFractionDigits: 1 })).format(value);

/** 0.0042 as "0.42%". Always two decimals, so that the number keeps its width. */
export const percent = (ratio: number): string =>
  once(
    'percent',
    () => new Intl.NumberFormat(locale, { style: 'percent', minimumFractionDigits: 2, maximumFractionDigits: 2 }),
  ).format(ratio);

/** 0.31 as "31%", 0.0042 as "0.4%": for sentences, where two decimals would only be noise. */
export const percentShort = (ratio: number): string =>
  once(`percent short ${Math.abs(ratio) < 0.0995}`, () => {
    const maximumFractionDigits = Math.abs(ratio) < 0.0995 ? 1 : 0;
    return new Intl.NumberFormat(locale, { style: 'percent', maximumFractionDigits });
  }).format(ratio);

/** "+31%" or "−8%"; from ten times on "×12", which says it better. */
export const changeText = (change: number): string =>
  change >= 9
    ? `×${count(Math.round(change + 1))}`
    : once(
        'change',
        () => new Intl.NumberFormat(locale, { style: 'percent', maximumFractionDigits: 0, signDisplay: 'exceptZero' }),
      ).format(change);

/** "1,840.5": up to four decimals. */
export const plainNumber = (value: number): string =>
  once('number', () => new Intl.NumberFormat(locale, { maximumFractionDigits: 4 })).format(value);

/** "12 s", "3 min", "2 h": whole units, rounded down, as ages are told. */
export function age(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h`;
}

/** How long something took, "45 s", "12 min", "1 h 40 min": precise to the minute, as it is over. */
export function lasted(ms: number): string {
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return age(ms);
  return minutes % 60 === 0 ? `${minutes / 60} h` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** 300 as "last 5 minutes". */
export function lastWindow(seconds: number): string {
  if (seconds % 60 !== 0) return `last ${seconds} seconds`;
  return seconds === 60 ? 'last minute' : `last ${seconds / 60} minutes`;
}

function timeFormat(timezone: string, name: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  return once(`${name} ${timezone}`, () => {
    try {
      return new Intl.DateTimeFormat(locale, { ...options, timeZone: timezone });
    } catch {
      // A zone this browser has not heard of.
      return new Intl.DateTimeFormat(locale, { ...options, timeZone: 'UTC' });
    }
  });
}

/** "12:31" in the business time zone. */
export const clockMinute = (timestamp: number, timezone: string): string =>
  timeFormat(timezone, 'minute', { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }).format(timestamp);

/** "Nov 27" in the business time zone. */
export const dayShort = (timestamp: number, timezone: string): string =>
  timeFormat(timezone, 'day short', { month: 'short', day: 'numeric' }).format(timestamp);

/** "12:31:07" in the business time zone. */
export const clockSecond = (timestamp: number, timezone: string): string =>
  timeFormat(timezone, 'second', { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' }).format(
    timestamp,
  );

/** "2026-11-27" as "Friday, November 27, 2026". The day has no time, so it is read as UTC. */
export function dayInWords(day: string): string {
  const date = new Date(`${day}T00:00:00Z`);
  if (Number.isNaN(date.getTime())) return day;
  return timeFormat('UTC', 'day', { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' }).format(date);
}
