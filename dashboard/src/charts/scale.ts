// Scales that sit still. A chart whose axis changed with every new maximum could not be read from
// across a room, so the top is one of few round numbers, with room above the highest bar.

/** Room above the highest bar, so that the high mark never runs along the top edge. */
const HEADROOM = 1.08;

/** Leading digits a top may have: each halves into another number that reads well. */
const STEPS = [1, 1.2, 1.6, 2, 3, 4, 6, 8, 10];

/** The smallest round top above `peak`. `least` keeps a quiet chart from magnifying nothing. */
export function roundTop(peak: number, least: number): number {
  const wanted = Math.max(peak * HEADROOM, least);
  const power = 10 ** Math.floor(Math.log10(wanted));
  // The tolerance is for powers below 1, which floats miss by a hair.
  const step = STEPS.find((candidate) => candidate * power >= wanted * (1 - 1e-9)) ?? 10;
  return step * power;
}

/** Ticks closer to the left edge than this share of the range would lose half their label. */
const EDGE = 0.04;

/** Full quarters of an hour inside the range, in seconds. */
export function quarterHours(from: number, to: number): number[] {
  const ticks: number[] = [];
  const first = from + (to - from) * EDGE;
  for (let tick = Math.ceil(first / 900) * 900; tick <= to; tick += 900) ticks.push(tick);
  return ticks;
}
