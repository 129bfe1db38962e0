// What breaks, what sells, what is read: the most frequent values of each breakdown that the
// configuration declares, and how they changed.

import { useId, useState } from 'preact/hooks';
import { changeText, count, percentShort } from '../format';
import {
  BREAKDOWN_LIMIT,
  BREAKDOWN_MINUTES,
  SHOWN,
  breakdownTitle,
  grouped,
  parseBreakdowns,
  valueInWords,
  type Bar,
  type Breakdown,
  type BreakdownGroup,
} from '../questions/breakdowns';
import type { Question } from '../questions/question';
import type { Panel, PanelProps } from './panel';

/** One request, however many breakdowns the configuration has. */
const breakdownsQuestion: Question<readonly Breakdown[]> = {
  initially: () => [],
  everyMs: 5_000,
  isOfMoment: true,
  async round({ ask, known, now, moment }) {
    const at = moment();
    const answer = await ask('breakdowns', {
      minutes: String(BREAKDOWN_MINUTES),
      limit: String(BREAKDOWN_LIMIT),
      ...(at !== null && { to: String(at + 1) }),
    });
    // Of a moment long ago, minutes may not be kept any more.
    if (answer.kind === 'unknown' && at !== null) return [];
    return answer.kind === 'ok' ? parseBreakdowns(answer.body, now()) : known();
  },
};

export const breakdowns: Panel = {
  id: 'breakdowns',
  place: 'board',
  shownIn: 'a shop with events',
  asks: [breakdownsQuestion],
  Content: Breakdowns,
};

/** Smaller changes are not shown. */
const NOTABLE = 0.1;

function Breakdowns({ view }: PanelProps) {
  const groups = grouped(view.answerTo(breakdownsQuestion));
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
  const { type, property, bars } = breakdown;
  const [isOpen, setOpen] = useState(false);
  const id = useId();
  const others = bars.length - SHOWN;
  return (
    <div class="breakdown" data-testid={`breakdown-${type}-${property}`}>
      <h3 id={id}>{breakdownTitle(breakdown)}</h3>
      {bars.length === 0 ? (
        <p class="breakdown-none">None</p>
      ) : (
        <table aria-labelledby={id}>
          {/* The first row, which would set the widths, is not on screen, so they are set here. */}
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
            {(isOpen ? bars : bars.slice(0, SHOWN)).map((bar) => (
              <Row key={bar.value} {...bar} />
            ))}
          </tbody>
        </table>
      )}
      {others > 0 && (
        <button type="button" class="breakdown-others" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
          {isOpen ? 'show fewer' : `and ${count(others)} more`}
        </button>
      )}
    </div>
  );
}

function Row({ value, count: counted, share, length, change }: Bar) {
  const isUp = change === 'new' || (change !== null && change >= NOTABLE);
  const { text, isNamed } = valueInWords(value);
  const isShown = isUp || (change !== null && change <= -NOTABLE);
  return (
    <tr data-value={value} data-count={counted}>
      <th scope="row" title={value}>
        <span class="bar" style={`--length:${length}`} aria-hidden="true" />
        <span class="bar-name" data-named={isNamed}>
          {/* A value of another direction, or one that would turn the text around, stays within itself. */}
          <bdi>{text}</bdi>
        </span>
      </th>
      <td class="change" data-up={isUp}>
        {isShown && (change === 'new' ? 'new' : changeText(change as number))}
      </td>
      <td class="share">{percentShort(share)}</td>
      <td class="counted">{count(counted)}</td>
    </tr>
  );
}
