// What breaks, what sells, what is read: the top values of each breakdown, and how they changed.

import { changeText, count, percentShort } from '../format';
import type { View } from '../live';
import {
  BREAKDOWN_MINUTES,
  breakdownTitle,
  grouped,
  type Bar,
  type Breakdown,
  type BreakdownGroup,
} from '../questions/breakdowns';

/** Smaller changes are not worth an eye. */
const NOTABLE = 0.1;

export function Breakdowns({ view }: { view: View }) {
  const groups = grouped(view.answers.breakdowns);
  if (groups.length === 0) return null;
  return (
    <section class="breakdowns" aria-label={`What breaks, what sells, what is read, last ${BREAKDOWN_MINUTES} minutes`}>
      {groups.map((group) => (
        <Group key={group.type} {...group} />
      ))}
      <p class="breakdowns-note">
        Shares are of all events that carry the property. Changes are against the {BREAKDOWN_MINUTES} minutes before.
      </p>
    </section>
  );
}

function Group({ type, title, breakdowns }: BreakdownGroup) {
  return (
    <div class="group" data-type={type}>
      <h2>
        {title} <span class="window">last {BREAKDOWN_MINUTES} minutes</span>
      </h2>
      <div class="group-tables">
        {breakdowns.map((breakdown) => (
          <BreakdownTable key={breakdown.property} {...breakdown} />
        ))}
      </div>
    </div>
  );
}

function BreakdownTable(breakdown: Breakdown) {
  const { type, property, bars, others } = breakdown;
  return (
    <div class="breakdown" data-testid={`breakdown-${type}-${property}`}>
      <h3>{breakdownTitle(breakdown)}</h3>
      {bars.length === 0 ? (
        <p class="breakdown-none">None</p>
      ) : (
        <table>
          {/* Widths stand here: the first row, which would say them, is not on screen. */}
          <colgroup>
            <col />
            <col class="change-column" />
            <col class="share-column" />
            <col class="counted-column" />
          </colgroup>
          <thead class="sr-only">
            <tr>
              <th scope="col">Value</th>
              <th scope="col">Change against the {BREAKDOWN_MINUTES} minutes before</th>
              <th scope="col">Share</th>
              <th scope="col">Count</th>
            </tr>
          </thead>
          <tbody>
            {bars.map((bar) => (
              <Row key={bar.value} {...bar} />
            ))}
          </tbody>
        </table>
      )}
      {others > 0 && <p class="breakdown-others">and {count(others)} more</p>}
    </div>
  );
}

function Row({ value, count: counted, share, length, change }: Bar) {
  const isUp = change === 'new' || (change !== null && change >= NOTABLE);
  const isShown = isUp || (change !== null && change <= -NOTABLE);
  return (
    <tr data-value={value} data-count={counted}>
      <th scope="row" title={value}>
        <span class="bar" style={`--length:${length}`} aria-hidden="true" />
        <span class="bar-name">{value}</span>
      </th>
      <td class="change" data-up={isUp}>
        {isShown && (change === 'new' ? 'new' : changeText(change as number))}
      </td>
      <td class="share">{percentShort(share)}</td>
      <td class="counted">{count(counted)}</td>
    </tr>
  );
}
