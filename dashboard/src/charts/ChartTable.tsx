// The figures of a chart as a table, for those who can't see a canvas. It is not shown on screen.

import { useMemo } from 'preact/hooks';

export interface ChartTableProps {
  caption: string;
  columns: readonly string[];
  /** The first cell is the row's heading. Called only when `version` or the caption has changed. */
  rows(): readonly (readonly string[])[];
  /** The table stands still while this does: one that changed five times a second can't be read. */
  version: number;
}

export function ChartTable({ caption, columns, rows, version }: ChartTableProps) {
  // Preact leaves alone what it is given a second time. (`memo` would do it too, for 3 kB of preact/compat.)
  return useMemo(
    () => (
      // A table takes no height from the style sheet, so what hides it is a box around it.
      <div class="sr-only">
        <table>
          <caption>{caption}</caption>
          <thead>
            <tr>
              {columns.map((column) => (
                <th scope="col" key={column}>
                  {column}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows().map(([heading, ...cells]) => (
              <tr key={heading}>
                <th scope="row">{heading}</th>
                {cells.map((cell, index) => (
                  <td key={index}>{cell}</td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    ),
    [version, caption],
  );
}
