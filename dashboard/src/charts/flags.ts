// Flags: marks, such as deploys, on a chart. Each is a pole at its moment with its title above the bars, and a
// stretch of time is shaded. This is loaded once there is a mark (flags_later.ts).

import type uPlot from 'uplot';
import { number, numberOrNull, string, type Json } from '../json';
import type { Look } from './look';

/** A moment, or a stretch of time, at which somebody did something: a deploy, a campaign. */
export interface MarkShown {
  id: string;
  /** Unix milliseconds. */
  time: number;
  /** Unix milliseconds; null for a moment. */
  until: number | null;
  title: string;
}

const toMark = ({ id, time, until, title }: Json): MarkShown => ({
  id: string(id, ''),
  time: number(time),
  until: numberOrNull(until),
  title: string(title, ''),
});

/** The marks that reach into `[from, to)` (Unix milliseconds), the oldest first. */
export const flagsIn = (marks: readonly Json[], from: number, to: number): readonly MarkShown[] =>
  marks
    .map(toMark)
    .filter(({ time, until }) => time < to && (until ?? time) >= from)
    .sort((a, b) => a.time - b.time);

/** What is said of the bar `[from, to)`: the titles of the marks that began in it. */
export const titlesAt = (marks: readonly Json[], from: number, to: number): string =>
  flagsIn(marks, from, to)
    .map(({ time, title }) => (time < from ? '' : `, ${title}`))
    .join('');

export function paintFlags(plot: uPlot, flags: readonly MarkShown[], { mark, label, font, rem }: Look): void {
  const { ctx, bbox } = plot;
  const { left, top, width, height } = bbox;
  const pixel = devicePixelRatio;
  const at = (time: number) => Math.max(left, Math.min(left + width, plot.valToPos(time / 1000, 'x', true)));
  const line = rem * pixel;
  ctx.save();
  ctx.font = font.replace(/\d+(?=px)/, (size) => `${+size * pixel}`);
  flags.forEach(({ time, until, title }, index) => {
    const pole = at(time);
    ctx.fillStyle = mark;
    ctx.globalAlpha = 0.25;
    ctx.fillRect(pole, top, at(until ?? time) - pole, height);
    ctx.globalAlpha = 1;
    ctx.fillRect(pole, top - line, pixel, height + line);
    ctx.fillStyle = label;
    // Towards the middle, since what was done just now stands at the right edge; titles that meet share the room.
    const middle = left + width / 2;
    const isRight = pole > middle;
    const other = flags[index + (isRight ? -1 : 1)];
    const end = other ? at(other.time) : isRight ? left : left + width;
    const room = (Math.abs(end - pole) - line) / (other && end > middle !== isRight ? 2 : 1);
    ctx.textAlign = isRight ? 'right' : 'left';
    ctx.fillText(title, pole + (isRight ? -line : line) / 4, top - line / 4, room);
  });
  ctx.restore();
}
