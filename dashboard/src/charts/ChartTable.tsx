// The same figures as a table, for those who can't see a canvas. Not shown on screen.

import { memo } from 'preact/compat';

export interface ChartTableProps {
  caption: string;
  columns: readonly string[];
  /** First cell is the row's heading. Made only when `version` changes. */
  rows(): readonly (readonly string[])[];
  /** The table stands still while this does: one that changed five times a second can't be read. */
  version: number;
}

export const ChartTable = memo(
  ({ caption, columns, rows }: ChartTableProps) => (
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
  (before, after) => before.version === after.version && before.caption === after.caption,
);
