// In which format, by whose SDK, the newest events came: counted among as many as the server gives at once.

import { useMemo } from 'preact/hooks';
import { clockMinute, count, dayShort, percentShort } from '../../format';
import type { View } from '../../live';
import { refusable } from '../../questions/question';
import { useAnswer } from '../../questions/use_answer';
import { parseEvents, type SingleEvent } from '../events/rows';

const LOOKED_AT = 500;

const newestQuestion = refusable({
  path: 'events',
  parameters: { limit: String(LOOKED_AT) },
  everyMs: 60_000,
  parse: (body) => parseEvents(body).events,
});

export interface Format {
  dialect: string;
  source: string;
  events: number;
}

/** The pairs of format and source, the most frequent first. */
export function formatsOf(events: readonly SingleEvent[]): readonly Format[] {
  const counts = new Map<string, Format>();
  for (const { dialect, source } of events) {
    const key = JSON.stringify([dialect, source]);
    const known = counts.get(key) ?? { dialect: dialect || 'native', source: source || 'http', events: 0 };
    counts.set(key, { ...known, events: known.events + 1 });
  }
  return [...counts.values()].sort((a, b) => b.events - a.events);
}

export function Formats({ view }: { view: View }) {
  const answer = useAnswer(view, newestQuestion);
  const events = answer?.kind === 'known' ? answer.value : null;
  const formats = useMemo(() => formatsOf(events ?? []), [events]);
  const oldest = events?.at(-1)?.timestamp;
  if (events !== null && events.length === 0) return null;
  return (
    <section class="part" aria-labelledby="formats" aria-busy={events === null} data-testid="formats">
      <h2 id="formats">
        In which format{' '}
        {events && oldest !== undefined && (
          <span class="window">
            newest {count(events.length)} events, back to {dayShort(oldest, view.zone)},{' '}
            {clockMinute(oldest, view.zone)}
          </span>
        )}
      </h2>
      {formats.length > 0 && (
        <table class="data narrow">
          <thead>
            <tr>
              <th scope="col">Format</th>
              <th scope="col">Source</th>
              <th scope="col">Events</th>
              <th scope="col">Share</th>
            </tr>
          </thead>
          <tbody>
            {formats.map(({ dialect, source, events: counted }) => (
              <tr key={`${dialect} ${source}`} data-testid={`format-${dialect}`}>
                <th scope="row">{dialect}</th>
                <td>
                  <bdi>{source}</bdi>
                </td>
                <td>{count(counted)}</td>
                <td>{percentShort(counted / (events?.length ?? 1))}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}
