// What one visitor did, the oldest first, with the pauses between.

import { useMemo } from 'preact/hooks';
import { clockMinute, count, dayShort, lasted } from '../../format';
import { refusable } from '../../questions/question';
import { useAnswer } from '../../questions/use_answer';
import { addressOf, momentOf } from '../../router/address';
import { change } from '../../router/router';
import type { PageProps } from '../page';
import { Empty, Shell } from '../Shell';
import { EventRow } from './EventRow';
import { keyOf, parseEvents, type SingleEvent } from './rows';

/** As many as the server gives at once. */
const LIMIT = 500;
/** A pause that is worth a word. */
const PAUSE_MS = 60_000;
const HOUR_MS = 3_600_000;

export function PathPart({ view, address }: PageProps) {
  const { query } = address;
  const [session, user, from, to] = ['session', 'user', 'from', 'to'].map((name) => query.get(name));
  const parameters = {
    ...(session && { id: session }),
    ...(user && { user }),
    ...(from && { from }),
    ...(to && { to }),
    limit: String(LIMIT),
  };
  const key = JSON.stringify(parameters);
  const question = useMemo(
    () => refusable({ path: 'session', parameters, everyMs: 5_000, parse: (body) => parseEvents(body) }),
    [key],
  );
  const answer = useAnswer(view, question);
  const found = answer?.kind === 'known' ? answer.value : null;
  const events = found?.events ?? [];
  const who = session ?? user ?? '';
  const widen = (hours: number) => {
    const [start, end] = [momentOf(from ?? null), momentOf(to ?? null)];
    if (start === null || end === null) return;
    change({ from: String(start - hours * HOUR_MS), to: String(end + hours * HOUR_MS) });
  };
  return (
    <Shell
      title={
        <>
          The path of <bdi class="path-who">{who}</bdi>
        </>
      }
      lead={<a href={addressOf('/events', query)}>All events</a>}
      isBusy={answer?.kind === 'waiting'}
    >
      {answer?.kind === 'refused' && (
        <Empty title="The server does not answer this">
          <p>{answer.message}.</p>
        </Empty>
      )}
      {found && events.length === 0 && (
        <Empty title="Nothing of this visitor">
          <p>
            {found.next
              ? 'The server has not looked through the whole span yet. '
              : 'Nothing was stored in this span. '}
            Look earlier and later:
          </p>
        </Empty>
      )}
      {events.length > 0 && (
        <>
          <p class="path-sum" data-testid="path-sum">
            {summary(events, view.zone)}
            {found?.next && ', and more'}
          </p>
          <ol class="events path" aria-label="Events of this visitor, the oldest first" data-testid="path">
            {events.map((event, index) => (
              <EventRow key={keyOf(event)} {...{ event, address }} zone={view.zone} aside={pause(events, index)} />
            ))}
          </ol>
        </>
      )}
      {from && to && (
        <p class="actions">
          <button type="button" class="button" onClick={() => widen(6)}>
            6 hours earlier and later
          </button>
          <button type="button" class="button" onClick={() => change({ from: null, to: null })}>
            All of today
          </button>
        </p>
      )}
    </Shell>
  );
}

/** "12 events within 8 min, Nov 27, from 13:02" */
function summary(events: readonly SingleEvent[], zone: string): string {
  const [first, last] = [events[0]!, events.at(-1)!];
  const number = `${count(events.length)} ${events.length === 1 ? 'event' : 'events'}`;
  const within = events.length > 1 ? ` within ${lasted(last.timestamp - first.timestamp)}` : '';
  return `${number}${within}, ${dayShort(first.timestamp, zone)}, from ${clockMinute(first.timestamp, zone)}`;
}

function pause(events: readonly SingleEvent[], index: number): string | null {
  const before = events[index - 1];
  const passed = before ? events[index]!.timestamp - before.timestamp : 0;
  return passed >= PAUSE_MS ? `after ${lasted(passed)}` : null;
}
