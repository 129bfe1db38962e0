// A bar chart with its heading. The line beside the heading says the highest bar, or the bar that the
// pointer is over: one fixed place to read, instead of a tooltip that covers its neighbours.

import { useId, useState } from 'preact/hooks';
import { BarChart, flagsOf, type BarChartProps } from './BarChart';
import { ChartTable } from './ChartTable';
import { flagsFor } from './flags_later';

/** How often the table for screen readers follows. */
const TABLE_EVERY_MS = 10_000;

export interface TitledChartProps extends Omit<BarChartProps, 'onHover' | 'onPick'> {
  /** The bar that begins at this time was clicked, or chosen by key and then by Enter. */
  onPick?(time: number): void;
  title: string;
  /** The window, as every number has one: "last 60 seconds". */
  window: string;
  /** Column heading of the value in the table. */
  unit: string;
  timeText(time: number): string;
  valueText(value: number): string;
  quietText: string;
  /** Names the line of `baseline`: "yesterday". */
  baselineName?: string;
}

export function TitledChart(props: TitledChartProps) {
  const { title, window, unit, timeText, valueText, quietText, baselineName = '', onPick, ...chart } = props;
  const [hovered, setHovered] = useState<number | null>(null);
  /** The start of the bar that was chosen by key: the bars move on, and it stays the same one. */
  const [chosenAt, setChosenAt] = useState<number | null>(null);
  const id = useId();
  const { times, values, baseline, marks = [], bucketMs } = chart;
  const isCompared = baseline?.some((value) => value !== null) ?? false;

  const peak = Math.max(0, ...values.map((value) => value ?? 0));
  const textAt = (row: number) => {
    const value = values[row];
    return value === null ? 'not known' : valueText(value ?? 0);
  };
  const peakAt = values.lastIndexOf(peak);
  const chosen = chosenAt === null ? -1 : times.indexOf(chosenAt);
  const hoveredNow = hovered !== null && hovered < values.length ? hovered : null;
  const shown = hoveredNow ?? (chosen >= 0 ? chosen : null);
  const index = shown ?? peakAt;
  const other = shown === null ? null : (baseline?.[shown] ?? null);

  const choose = (event: KeyboardEvent) => {
    const last = times.length - 1;
    const from = chosen >= 0 ? chosen : last;
    const to = {
      ArrowLeft: chosen >= 0 ? Math.max(0, from - 1) : last,
      ArrowRight: Math.min(last, from + 1),
      PageUp: Math.max(0, from - 10),
      PageDown: Math.min(last, from + 10),
      Home: 0,
      End: last,
    }[event.key];
    if (event.key === 'Escape' && chosenAt !== null) {
      event.preventDefault();
      setChosenAt(null);
    }
    if (event.key === 'Enter' && chosenAt !== null) onPick?.(chosenAt);
    if (to === undefined) return;
    event.preventDefault();
    setHovered(null);
    setChosenAt(times[to] ?? null);
  };
  const from = times[index] ?? 0;
  const doneText = (shown !== null && flagsFor(marks)?.titlesAt(marks, from, from + bucketMs)) || '';
  const otherText = other === null ? '' : `, ${baselineName} ${valueText(other)}`;
  const readout = `${textAt(index)} ${timeText(from)}${otherText}${doneText}`;

  return (
    <figure class="chart">
      <figcaption>
        <span class="chart-title" id={id}>
          {title} <span class="window">{window}</span>
          {isCompared && <span class="legend">{baselineName}</span>}
        </span>
        <span class="readout">
          {shown === null && peak === 0 ? (
            quietText
          ) : (
            <>
              {shown === null && <span class="readout-mark">High mark</span>}
              <b>{textAt(index)}</b> {timeText(times[index] ?? 0)}
              {other !== null && `, ${baselineName} ${valueText(other)}`}
              <bdi>{doneText}</bdi>
            </>
          )}
        </span>
      </figcaption>
      {/* The arrows walk from bar to bar, so it is to a screen reader what a slider is. */}
      <div
        class="chart-keys"
        role="slider"
        tabIndex={0}
        aria-labelledby={id}
        aria-valuemin={0}
        aria-valuemax={Math.max(0, times.length - 1)}
        aria-valuenow={index < 0 ? 0 : index}
        aria-valuetext={shown === null && peak === 0 ? quietText : readout}
        onKeyDown={choose}
        onBlur={() => setChosenAt(null)}
      >
        <BarChart
          {...chart}
          {...(onPick && {
            onPick: (index: number) => {
              const time = times[index];
              if (time !== undefined) onPick(time);
            },
          })}
          chosen={hoveredNow === null && chosen >= 0 ? chosen : null}
          onHover={setHovered}
        />
      </div>
      <p class="sr-only">
        {flagsOf(chart).map(({ title, time }) => (
          <>
            <bdi>{title}</bdi> {timeText(time)}.{' '}
          </>
        ))}
      </p>
      <ChartTable
        caption={`${title}, ${window}${isCompared ? `, with ${baselineName}` : ''}. Follows every 10 seconds.`}
        columns={isCompared ? ['Time', unit, `${unit}, ${baselineName}`] : ['Time', unit]}
        version={Math.floor((times.at(-1) ?? 0) / TABLE_EVERY_MS) + (peak > 0 ? 0.5 : 0)}
        rows={() =>
          times.map((time, row) => {
            const cells = [timeText(time), textAt(row)];
            const compared = baseline?.[row] ?? null;
            return isCompared ? [...cells, compared === null ? 'not known' : valueText(compared)] : cells;
          })
        }
      />
    </figure>
  );
}
