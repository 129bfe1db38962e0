// How wide the labels of a value axis are. Charts that share their cursor stand above one another, and
// their bars have to as well, so the widest label of all of them counts.

import type uPlot from 'uplot';
import type { Look } from './look';

/** Room that is always there, in rem, so that most numbers move nothing. */
const LEAST = 3.6;

/** What each chart of a group needs, in CSS pixels. */
const groups = new Map<string, Map<uPlot, number>>();

function needed(plot: uPlot, labels: readonly (string | null)[], look: Look): number {
  const { ctx } = plot;
  ctx.save();
  ctx.font = look.font;
  const widest = Math.max(0, ...labels.map((label) => ctx.measureText(label ?? '').width));
  ctx.restore();
  // The gap between the axis and its labels is part of the size.
  return Math.ceil(Math.max(look.rem * LEAST, widest + look.rem * 0.9));
}

/** The width of the axis, in CSS pixels. */
export function labelWidth(
  plot: uPlot,
  labels: readonly (string | null)[],
  look: Look,
  group: string | undefined,
): number {
  const own = needed(plot, labels, look);
  if (!group) return own;
  const charts = groups.get(group) ?? new Map<uPlot, number>();
  groups.set(group, charts);
  // A chart that is gone has left the page.
  for (const chart of charts.keys()) if (chart !== plot && !chart.root.isConnected) charts.delete(chart);
  const before = Math.max(0, ...charts.values());
  charts.set(plot, own);
  const width = Math.max(0, ...charts.values());
  if (width !== before) queueMicrotask(() => redrawOthers(charts, plot));
  return width;
}

function redrawOthers(charts: ReadonlyMap<uPlot, number>, than: uPlot): void {
  for (const chart of charts.keys()) if (chart !== than && chart.root.isConnected) chart.redraw(false, true);
}
