// The books of today: orders as the shop or the payment provider has them, against their events. Orders that
// are missing here are named, so that somebody can look them up.

import { count, percent } from '../format';
import { isObject, number, numberOrNull, objects, string, strings } from '../json';

export interface Books {
  /** Orders that were paid. */
  orders: number;
  /** The part of them that is here, 0 to 1; null where there is none. */
  share: number | null;
  /** The part of them that came by another way than their webhook. */
  trackedShare: number | null;
  /** What is wrong, in the words of the sentence, worst first. */
  faults: readonly BooksFault[];
}

export interface BooksFault {
  /** "3 missing" */
  text: string;
  /** The ids that are given; there may be more. */
  ids: readonly string[];
  more: number;
}

/** Ids of one kind that are shown. */
export const IDS_SHOWN = 5;

const KINDS = [
  ['missing', 'missing'],
  ['doubled', 'doubled'],
  ['differ', 'differ'],
  ['unknown', 'not in the books'],
] as const;

/** Null where the books have no order, or the answer is none. */
export function parseBooks(body: unknown): Books | null {
  if (!isObject(body) || body.kept !== true) return null;
  const counts = isObject(body.counts) ? body.counts : {};
  const faults = KINDS.map(([kind, words]) => {
    const ids = kind === 'differ' ? objects(body.differ).map(({ order }) => string(order, '')) : strings(body[kind]);
    const shown = ids.filter((id) => id !== '').slice(0, IDS_SHOWN);
    const all = number(counts[kind], ids.length);
    return { all, text: `${count(all)} ${words}`, ids: shown, more: Math.max(0, all - shown.length) };
  });
  const orders = number(body.orders);
  const found = faults.filter(({ all }) => all > 0).map(({ text, ids, more }) => ({ text, ids, more }));
  if (orders === 0 && found.length === 0) return null;
  const trackedShare = orders > 0 ? number(body.tracked) / orders : null;
  return { orders, share: numberOrNull(body.share), trackedShare, faults: found };
}

/** A share in words. One that is not whole is never said to be 100 %. */
export const shareText = (share: number): string => percent(share < 1 ? Math.min(share, 0.9999) : 1);

/** "99.98% of orders are here; 3 missing, 1 doubled, 2 differ" */
export function booksInWords({ share, faults }: Books): string {
  const here = share === null ? 'No order in the books yet' : `${shareText(share)} of orders are here`;
  return [here, faults.map(({ text }) => text).join(', ')].filter(Boolean).join('; ');
}
