// Who met an incident: the visitors of its events, each with the way to what else they did.

import { useMemo } from 'preact/hooks';
import { clockSecond, count } from '../../format';
import type { View } from '../../live';
import type { Alert, Cause } from '../../questions/alerts';
import { refusable } from '../../questions/question';
import { useAnswer } from '../../questions/use_answer';
import { addressOf, type Address } from '../../router/address';
import { parseEvents, pathQuery, visitorOf, type SingleEvent } from '../events/rows';
import { eventsOf, isFall } from './story';

/** Visitors that are named. */
const SHOWN = 8;
/** Events that are looked at for them, the newest. */
const LOOKED_AT = 200;

interface Met {
  event: SingleEvent;
  events: number;
}

/** Visitors by their newest event, those with most events first. */
export function visitorsOf(events: readonly SingleEvent[]): readonly Met[] {
  const met = new Map<string, Met>();
  for (const event of events) {
    const visitor = visitorOf(event);
    if (visitor === '') continue;
    const known = met.get(visitor);
    if (known) known.events += 1;
    else met.set(visitor, { event, events: 1 });
  }
  return [...met.values()].sort((a, b) => b.events - a.events);
}

interface WhoProps {
  view: View;
  address: Address;
  alert: Alert;
  causes: readonly Cause[];
}

export function Who({ view, address, alert, causes }: WhoProps) {
  // To the minute, as the chart is.
  const now = Math.floor(view.asOf / 60_000) * 60_000;
  const parameters = eventsOf(alert, causes, now);
  const isTold = parameters.type !== undefined && !isFall(alert);
  const key = JSON.stringify(parameters);
  const question = useMemo(() => {
    const asked = { ...parameters, limit: String(LOOKED_AT) };
    const parse = (body: unknown) => parseEvents(body);
    return isTold ? refusable({ path: 'events', parameters: asked, everyMs: 30_000, parse }) : null;
  }, [key, isTold]);
  const answer = useAnswer(view, question);
  const found = answer?.kind === 'known' ? answer.value : null;
  const visitors = found ? visitorsOf(found.events) : [];
  const isCut = found?.next != null;
  return (
    <section class="part" aria-labelledby="who" aria-busy={isTold && found === null} data-testid="who">
      <h2 id="who">Who met it</h2>
      {!isTold && <p class="soft">Events did not come that usually do, so there is nobody to name.</p>}
      {found && visitors.length === 0 && (
        <p class="soft">{found.events.length > 0 ? 'These events name no visitor.' : 'No event of it was found.'}</p>
      )}
      {visitors.length > 0 && (
        <>
          <p>
            {isCut ? 'At least ' : ''}
            {count(visitors.length)} {visitors.length === 1 ? 'visitor' : 'visitors'}
            {isCut ? `, among the newest ${count(found!.events.length)} events of it` : ''}:
          </p>
          <ul class="visitors">
            {visitors.slice(0, SHOWN).map(({ event, events }) => (
              <li key={visitorOf(event)}>
                <a href={addressOf('/events', address.query, pathQuery(event))}>
                  <bdi>{visitorOf(event)}</bdi>
                </a>
                <span class="soft">
                  {count(events)} {events === 1 ? 'event' : 'events'}, the last at{' '}
                  {clockSecond(event.timestamp, view.zone)}
                </span>
              </li>
            ))}
          </ul>
        </>
      )}
      <p class="actions">
        <a class="button" href={addressOf('/events', address.query, parameters as Record<string, string>)}>
          {isTold ? 'All events of it' : 'Events of this time'}
        </a>
      </p>
    </section>
  );
}
