// A bar for each bucket of time, painted by uPlot. The last bar is the bucket in progress and is drawn
// paler: it is still growing, and a half-filled minute must not look like a drop in sales. A dashed line,
// the flood mark, marks the highest bar. A thin line over the bars may show another day.

import { useEffect, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import type { Json } from '../json';
import { onThemeChange } from '../theme';
import type { MarkShown } from './flags';
import { flagsFor } from './flags_later';
import { labelWidth } from './label_width';
import { readLook, type ChartColours, type Look } from './look';
import { roundTop } from './scale';

export interface BarChartProps {
  /** Starts of the buckets in Unix milliseconds, evenly spaced, oldest first. */
  times: readonly number[];
  /** Null where a value is not known, which draws nothing. */
  values: readonly (number | null)[];
  /** The last bucket is over, and not in progress. */
  isOver?: boolean;
  /** The same buckets of another day; null where a value is not known, so that the line has a gap. */
  baseline?: readonly (number | null)[];
  /** What somebody did; those within the range are flags. */
  marks?: readonly Json[];
  bucketMs: number;
  colours: ChartColours;
  /** Top of the scale when there is next to nothing to draw. */
  leastTop: number;
  yLabel(value: number): string;
  /** Ticks of the time axis in seconds, for a range in seconds on so many rem of screen. */
  xTicks(from: number, to: number, rems: number): number[];
  /** `end` is the end of the range, for labels that count back from it. */
  xLabel(tick: number, end: number): string;
  /** Changes when the labels of the time axis mean something else, so that they are drawn anew. */
  labelsKey?: string;
  /** Whether the time axis has labels; a chart stacked above another leaves them to it. */
  hasTimeLabels: boolean;
  /** Charts with the same key share their cursor. */
  syncKey?: string;
  /** The bar that was chosen by key, under which the cursor stands; null where none is. */
  chosen?: number | null;
  /** A bar was clicked; charts without it take no clicks. */
  onPick?(index: number): void;
  /** The bar under the pointer, or null. */
  onHover(index: number | null): void;
}

/** The columns uPlot draws: bar centres in seconds, finished buckets, the one in progress, the other day. */
function toColumns({ times, values, baseline, bucketMs, isOver = false }: BarChartProps): uPlot.AlignedData {
  const last = isOver ? -1 : times.length - 1;
  return [
    times.map((time) => (time + bucketMs / 2) / 1000),
    values.map((value, index) => (index === last ? null : value)),
    values.map((value, index) => (index === last ? value : null)),
    baseline ? [...baseline] : times.map(() => null),
  ];
}

/** The highest value of bars and line, so that neither leaves the chart. */
const highest = ({ values, baseline = [] }: BarChartProps): number =>
  Math.max(0, ...values.map((value) => value ?? 0), ...baseline.map((value) => value ?? 0));

/** The marks within the range of a chart. */
export const flagsOf = ({ times, bucketMs, marks = [] }: Omit<BarChartProps, 'onHover'>): readonly MarkShown[] =>
  flagsFor(marks)?.flagsIn(marks, times[0] ?? 0, (times.at(-1) ?? 0) + bucketMs) ?? [];

function drawHighMark(plot: uPlot, props: BarChartProps, look: Look): void {
  const peak = Math.max(...props.values.map((value) => value ?? 0));
  if (peak <= 0) return;
  const { ctx, bbox } = plot;
  const y = Math.round(plot.valToPos(peak, 'y', true)) - 1;
  ctx.save();
  ctx.strokeStyle = look.mark;
  ctx.lineWidth = Math.max(1, Math.round(devicePixelRatio));
  ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
  ctx.beginPath();
  ctx.moveTo(bbox.left, y);
  ctx.lineTo(bbox.left + bbox.width, y);
  ctx.stroke();
  ctx.restore();
}

function makeOptions(box: HTMLElement, look: Look, props: () => BarChartProps): uPlot.Options {
  const { hasTimeLabels, syncKey } = props();
  const bars = uPlot.paths.bars!({ size: [0.74, 48], radius: 0.18 });
  const series = (fill: string): uPlot.Series => ({ fill, width: 0, paths: bars, points: { show: false } });
  return {
    width: box.clientWidth,
    height: box.clientHeight,
    legend: { show: false },
    // Half a line of room above, since the topmost label is centred on its grid line; a line for titles of flags.
    padding: [() => look.rem * (flagsOf(props()).length > 0 ? 1.25 : 0.55), 0, hasTimeLabels ? 0 : 4, 0],
    cursor: {
      y: false,
      drag: { x: false, y: false, setScale: false },
      points: { show: false },
      ...(syncKey ? { sync: { key: syncKey } } : {}),
    },
    scales: {
      x: {
        time: false,
        range: () => {
          const { times, bucketMs } = props();
          return [(times[0] ?? 0) / 1000, ((times.at(-1) ?? 0) + bucketMs) / 1000];
        },
      },
      y: { range: () => [0, roundTop(highest(props()), props().leastTop)] },
    },
    series: [
      {},
      series(look.bar),
      series(look.growing),
      { stroke: look.baseline, width: Math.max(1.5, look.rem * 0.11), points: { show: false }, spanGaps: false },
    ],
    axes: [
      {
        show: hasTimeLabels,
        stroke: look.label,
        font: look.font,
        size: look.rem * 1.75,
        gap: look.rem * 0.4,
        grid: { show: false },
        ticks: { show: false },
        splits: (plot, _axis, from, to) => props().xTicks(from, to, plot.width / look.rem),
        values: (plot, ticks) => ticks.map((tick) => props().xLabel(tick, plot.scales.x!.max!)),
      },
      {
        side: 1,
        stroke: look.label,
        font: look.font,
        // As wide as the widest label: one that was cut would be read as another number.
        size: (plot, labels) => labelWidth(plot, labels ?? [], look, syncKey),
        gap: look.rem * 0.6,
        grid: { stroke: look.grid, width: 1 },
        ticks: { show: false },
        splits: (_plot, _axis, _from, to) => [0, to / 2, to],
        values: (_plot, ticks) => ticks.map((tick) => (tick === 0 ? '' : props().yLabel(tick))),
      },
    ],
    hooks: {
      drawSeries: [(plot, index) => void (index === 2 && drawHighMark(plot, props(), look))],
      draw: [(plot) => flagsFor(props().marks ?? [])?.paintFlags(plot, flagsOf(props()), look)],
      setCursor: [(plot) => props().onHover(plot.cursor.idx ?? null)],
    },
  };
}

export function BarChart(props: BarChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  // uPlot calls back long after this render; it must always see the newest props.
  const newest = useRef(props);
  newest.current = props;
  // Colours and type size are read from the style sheet once a chart; a change makes a new chart.
  const [lookKey, setLookKey] = useState('');

  useEffect(() => {
    const element = box.current!;
    const look = readLook(element, newest.current.colours);
    const chart = new uPlot(
      makeOptions(element, look, () => newest.current),
      toColumns(newest.current),
      element,
    );
    plot.current = chart;
    const pick = () => {
      const index = chart.cursor.idx;
      if (index !== null && index !== undefined) newest.current.onPick?.(index);
    };
    chart.over.addEventListener('click', pick);

    const resize = new ResizeObserver(() => {
      if (readLook(element, newest.current.colours).rem !== look.rem)
        setLookKey(`size ${devicePixelRatio} ${Date.now()}`);
      else chart.setSize({ width: element.clientWidth, height: element.clientHeight });
    });
    resize.observe(element);
    const stopTheme = onThemeChange(() => setLookKey(`theme ${Date.now()}`));
    return () => {
      stopTheme();
      resize.disconnect();
      chart.destroy();
      plot.current = null;
    };
  }, [lookKey]);

  // Data is set only when it has changed. A quiet second changes the times alone, an event the values alone.
  const fingerprint = `${props.times.at(-1)} ${props.isOver} ${props.values.join()} ${props.baseline?.join()}`;
  useEffect(() => plot.current?.setData(toColumns(newest.current)), [fingerprint]);
  useEffect(() => {
    const chart = plot.current;
    const at = props.chosen ?? null;
    if (!chart || at === null) return;
    chart.setCursor({ left: chart.valToPos(chart.data[0][at] ?? 0, 'x'), top: 0 }, false);
  }, [props.chosen, fingerprint]);
  // uPlot draws labels anew only when a scale changes, so a change of their meaning has to ask for it; so has a
  // flag, which needs room above.
  const flags = flagsOf(props)
    .map(({ id }) => id)
    .join();
  useEffect(() => plot.current?.redraw(false, true), [props.labelsKey, flags]);
  return <div class="chart-box" ref={box} aria-hidden="true" data-picks={props.onPick !== undefined} />;
}
