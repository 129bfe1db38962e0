// What the time machine computes: where keys lead, the curve behind the scrubber, and the same time of the day before.

import type { PointsByTime } from '../../questions/baseline';
import { momentAt, wallClock } from '../../wall_clock';

export const DAY_MS = 86_400_000;
const MINUTE_MS = 60_000;

/** Seconds of the past in a second. */
export const SPEEDS = [1, 10, 60] as const;

/** How far a key leads, in milliseconds; `start` and `now` are the ends. Null for a key that leads nowhere. */
export function keyMoves(key: string, isShift: boolean): number | 'start' | 'now' | null {
  // A minute is what charts have; with Shift it is a second, for whoever looks for the very moment.
  const step = isShift ? 1_000 : MINUTE_MS;
  switch (key) {
    case 'ArrowLeft':
    case 'ArrowDown':
      return -step;
    case 'ArrowRight':
    case 'ArrowUp':
      return step;
    case 'PageDown':
      return -15 * MINUTE_MS;
    case 'PageUp':
      return 15 * MINUTE_MS;
    case 'Home':
      return 'start';
    case 'End':
      return 'now';
    default:
      return null;
  }
}

/** The same time by the shop's clock on the day before. */
export function sameTimeDayBefore(moment: number, business: string): number {
  const clock = wallClock(moment, business);
  const before = new Date(Date.parse(`${clock}:00Z`) - DAY_MS).toISOString().slice(0, 16);
  return (momentAt(before, business) ?? moment - DAY_MS) + (moment % MINUTE_MS);
}

/** An area over the day, of 1000 by 100; it ends where nothing is counted yet. */
export function curvePath(points: PointsByTime | null, start: number, end: number): string {
  const known = [...(points ?? [])].filter((point): point is [number, number] => point[1] !== null);
  const last = known.findLastIndex(([, value]) => value > 0);
  const most = Math.max(...known.map(([, value]) => value), 1);
  if (last < 0) return '';
  const x = (time: number) => (((time - start) / (end - start)) * 1000).toFixed(1);
  const shown = known.slice(0, last + 1);
  const line = shown.map(([time, value]) => `L${x(time)} ${(100 - (value / most) * 92).toFixed(1)}`).join('');
  return `M${x(shown[0]![0])} 100${line}L${x(shown.at(-1)![0])} 100Z`;
}
