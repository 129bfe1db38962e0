// Labels of a time axis over any span: as many as there is room for, at round times of the clock.

import { clockMinute, dayShort } from '../../format';
import { wallClock } from '../../wall_clock';

const MINUTE_S = 60;
const DAY_S = 86_400;

/** Distances of labels, in seconds, the closest first. */
const STEPS = [1, 5, 15, 30, 60, 180, 360, 720, 1_440, 2_880, 10_080, 20_160, 43_200, 86_400, 259_200].map(
  (minutes) => minutes * MINUTE_S,
);

/** The room that a label takes, in rem. */
const LABEL_REMS = 4.5;

/** Labels closer to the left edge than this share of the range would lose half of themselves. */
const EDGE = 0.03;

/**
 * Places of the labels, in seconds, each at the start of a bar.
 *
 * @param starts of the bars, Unix milliseconds
 * @param zone of the clock by which times are round
 * @param rems the width of the chart
 */
export function ticksAt(starts: readonly number[], from: number, to: number, rems: number, zone: string): number[] {
  const most = Math.max(2, Math.floor(rems / LABEL_REMS));
  const step = STEPS.find((seconds) => (to - from) / seconds <= most) ?? STEPS.at(-1)!;
  const first = from + (to - from) * EDGE;
  const inside = starts.map((time) => time / 1000).filter((time) => time >= first);
  const round = inside.filter((time) => isRound(time, step, zone));
  // Bars of weeks or months begin at no round time: then every so many of them have a label.
  if (round.length > 0 && round.length <= most) return round;
  const every = Math.max(1, Math.ceil(inside.length / most));
  return inside.filter((_, index) => index % every === 0);
}

function isRound(time: number, step: number, zone: string): boolean {
  const clock = wallClock(time * 1000, zone);
  const minutes = Number(clock.slice(11, 13)) * 60 + Number(clock.slice(14, 16));
  if (step < DAY_S) return (minutes * MINUTE_S) % step === 0;
  const day = Math.round(Date.parse(`${clock.slice(0, 10)}T00:00Z`) / 1000 / DAY_S);
  return minutes === 0 && day % (step / DAY_S) === 0;
}

/** "13:00"; at midnight, and of days, "Nov 27". */
export function tickLabel(time: number, bucketMs: number, zone: string): string {
  const isDay = bucketMs >= DAY_S * 1000 || wallClock(time, zone).endsWith('T00:00');
  return isDay ? dayShort(time, zone) : clockMinute(time, zone);
}

/** When a bar begins: "Nov 27", "13:05", or both where the span is longer than a day. */
export function whenText(time: number, bucketMs: number, spanMs: number, zone: string): string {
  if (bucketMs >= DAY_S * 1000) return dayShort(time, zone);
  if (spanMs <= DAY_S * 1000) return clockMinute(time, zone);
  return `${dayShort(time, zone)}, ${clockMinute(time, zone)}`;
}
