// A chart with its heading. The line beside the heading says the high mark, or, while the pointer is
// over a bar, that bar: one fixed place to read, instead of a tooltip that covers its neighbours.

import { useState } from 'preact/hooks';
import { BarChart, type BarChartProps } from '../charts/BarChart';
import { ChartTable } from '../charts/ChartTable';

/** How often the table for screen readers follows. */
const TABLE_EVERY_MS = 10_000;

export interface ChartPanelProps extends Omit<BarChartProps, 'onHover'> {
  title: string;
  /** The window, as every number has one: "last 60 seconds". */
  window: string;
  /** Column heading of the value in the table. */
  unit: string;
  timeText(time: number): string;
  valueText(value: number): string;
  quietText: string;
}

const pastText = (value: number | null | undefined, name: string, valueText: (value: number) => string): string =>
  value === null || value === undefined ? '' : `, ${name.toLowerCase()} ${valueText(value)}`;

export function ChartPanel({ title, window, unit, timeText, valueText, quietText, ...chart }: ChartPanelProps) {
  const [hovered, setHovered] = useState<number | null>(null);
  const { times, values, past } = chart;

  const peak = Math.max(0, ...values);
  const peakAt = values.lastIndexOf(peak);
  const shown = hovered !== null && hovered < values.length ? hovered : null;
  const index = shown ?? peakAt;

  return (
    <figure class="chart">
      <figcaption>
        <span class="chart-title">
          {title} <span class="window">{window}</span>
        </span>
        <span class="readout">
          {shown === null && peak === 0 ? (
            quietText
          ) : (
            <>
              {shown === null && <span class="readout-mark">High mark</span>}
              <b>{valueText(values[index] ?? 0)}</b> {timeText(times[index] ?? 0)}
              {past && pastText(past.values[index], past.name, valueText)}
            </>
          )}
        </span>
      </figcaption>
      <BarChart {...chart} onHover={setHovered} />
      <ChartTable
        caption={`${title}, ${window}. Follows every 10 seconds.`}
        columns={past ? ['Time', unit, past.name] : ['Time', unit]}
        version={Math.floor((times.at(-1) ?? 0) / TABLE_EVERY_MS) + (peak > 0 ? 0.5 : 0) + (past ? 0.25 : 0)}
        rows={() =>
          times.map((time, row) => {
            const then = past?.values[row];
            const cells = past ? [then === null || then === undefined ? 'not known' : valueText(then)] : [];
            return [timeText(time), valueText(values[row] ?? 0), ...cells];
          })
        }
      />
    </figure>
  );
}
