// What the server says of targets, and the sentences that it makes.

import { count, money, percentShort, plainNumber } from '../../format';
import { isObject, number, numberOrNull, objects, string } from '../../json';
import { toUnit, type Unit } from '../../questions/metrics';
import { toMoneyUnits } from '../../stream/frames';

/** Amounts are in the unit of the metric. */
export interface TargetPace {
  name: string;
  title: string;
  unit: Unit;
  span: string;
  amount: number;
  value: number;
  /** What should have come by now; null where that is not known. */
  should: number | null;
  /** Where it will end, in 80 of 100 cases; null where that is not known. */
  forecast: { low: number; value: number; high: number; chance: number } | null;
  /** Why something is not known. */
  why: string;
}

export const parsePace = (body: unknown): TargetPace[] =>
  objects(body).map((entry) => {
    const { forecast } = entry;
    return {
      name: string(entry.target, ''),
      title: string(entry.title, ''),
      unit: toUnit(entry.unit),
      span: string(entry.span, ''),
      amount: number(entry.amount),
      value: number(entry.value),
      should: numberOrNull(entry.should),
      forecast: isObject(forecast)
        ? {
            low: number(forecast.low),
            value: number(forecast.value),
            high: number(forecast.high),
            chance: number(forecast.chance),
          }
        : null,
      why: string(entry.why, ''),
    };
  });

const SPANS: Readonly<Record<string, string>> = { day: 'today', week: 'this week', month: 'this month' };

export const spanWords = (span: string): string => SPANS[span] ?? span.replaceAll('_', ' ');

/** As people read an amount of a unit. Cents say nothing of a target. */
export function amountText(value: number, unit: Unit, currency: string): string {
  if (unit === 'money') return money(toMoneyUnits(Math.round(value)), currency).replace(/[.,]00(?!\d)/, '');
  return unit === 'count' ? count(Math.round(value)) : plainNumber(value);
}

/** "$1,200 behind", "on pace" within a hundredth of the target, or nothing where it is not known. */
export function paceInWords({ value, should, amount, unit }: TargetPace, currency: string): string {
  if (should === null) return '';
  const off = value - should;
  if (Math.abs(off) < amount / 100) return 'on pace';
  return `${amountText(Math.abs(off), unit, currency)} ${off > 0 ? 'ahead' : 'behind'}`;
}

/** Where it will end, or why that is not known. */
export function endInWords({ value, amount, forecast, why, unit }: TargetPace, currency: string): string {
  const text = (amount: number) => amountText(amount, unit, currency);
  if (value >= amount) return forecast ? `Reached. It will end at about ${text(forecast.value)}.` : 'Reached.';
  if (!forecast) return why === '' ? '' : `Where it will end is not known: ${why}.`;
  const { low, high, chance } = forecast;
  const likely = chance > 0.99 ? 'over 99%' : chance < 0.01 ? 'under 1%' : percentShort(chance);
  return `It will end between ${text(low)} and ${text(high)}; the chance to reach the target is ${likely}.`;
}
