// A bar chart with its heading. The line beside the heading says the highest bar, or the bar that the
// pointer is over: one fixed place to read, instead of a tooltip that covers its neighbours.

import { useState } from 'preact/hooks';
import { BarChart, type BarChartProps } from './BarChart';
import { ChartTable } from './ChartTable';

/** How often the table for screen readers follows. */
const TABLE_EVERY_MS = 10_000;

export interface TitledChartProps extends Omit<BarChartProps, 'onHover'> {
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
  const { title, window, unit, timeText, valueText, quietText, baselineName = '', ...chart } = props;
  const [hovered, setHovered] = useState<number | null>(null);
  const { times, values, baseline } = chart;
  const isCompared = baseline?.some((value) => value !== null) ?? false;

  const peak = Math.max(0, ...values);
  const peakAt = values.lastIndexOf(peak);
  const shown = hovered !== null && hovered < values.length ? hovered : null;
  const index = shown ?? peakAt;
  const other = shown === null ? null : (baseline?.[shown] ?? null);

  return (
    <figure class="chart">
      <figcaption>
        <span class="chart-title">
          {title} <span class="window">{window}</span>
          {isCompared && <span class="legend">{baselineName}</span>}
        </span>
        <span class="readout">
          {shown === null && peak === 0 ? (
            quietText
          ) : (
            <>
              {shown === null && <span class="readout-mark">High mark</span>}
              <b>{valueText(values[index] ?? 0)}</b> {timeText(times[index] ?? 0)}
              {other !== null && `, ${baselineName} ${valueText(other)}`}
            </>
          )}
        </span>
      </figcaption>
      <BarChart {...chart} onHover={setHovered} />
      <ChartTable
        caption={`${title}, ${window}${isCompared ? `, with ${baselineName}` : ''}. Follows every 10 seconds.`}
        columns={isCompared ? ['Time', unit, `${unit}, ${baselineName}`] : ['Time', unit]}
        version={Math.floor((times.at(-1) ?? 0) / TABLE_EVERY_MS) + (peak > 0 ? 0.5 : 0)}
        rows={() =>
          times.map((time, row) => {
            const cells = [timeText(time), valueText(values[row] ?? 0)];
            const compared = baseline?.[row] ?? null;
            return isCompared ? [...cells, compared === null ? 'not known' : valueText(compared)] : cells;
          })
        }
      />
    </figure>
  );
}
