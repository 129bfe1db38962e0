// An event in a line, which opens into all of it.

import type { ComponentChildren } from 'preact';
import { clockSecond, dayShort } from '../../format';
import { addressOf, type Address } from '../../router/address';
import { gistOf, pathQuery, visitorOf, type SingleEvent } from './rows';

interface EventRowProps {
  event: SingleEvent;
  address: Address;
  zone: string;
  /** The visitor is named, with the way to what else they did. */
  hasVisitor?: boolean;
  /** What stands beside the time. */
  aside?: ComponentChildren;
}

export function EventRow({ event, address, zone, hasVisitor = false, aside }: EventRowProps) {
  const { timestamp, receivedAt, type, id, source, dialect, properties } = event;
  const visitor = visitorOf(event);
  const day = dayShort(timestamp, zone);
  return (
    <li class="event" data-type={type} data-testid="event">
      <details>
        <summary>
          <span class="event-time">
            <time dateTime={new Date(timestamp).toISOString()} title={day}>
              {clockSecond(timestamp, zone)}
            </time>
            {aside && <span class="soft">{aside}</span>}
          </span>
          <span class="event-type">
            <bdi>{type}</bdi>
          </span>
          <span class="event-gist">
            {gistOf(event).map(({ name, text }) => (
              <span key={name}>
                <span class="event-property">{name}</span> <bdi>{text}</bdi>
              </span>
            ))}
          </span>
        </summary>
        <div class="event-whole">
          <p class="soft">
            {day}, {clockSecond(timestamp, zone)}; received {clockSecond(receivedAt, zone)}; from {source || 'http'}, as{' '}
            {dialect || 'native'}; id <bdi>{id}</bdi>
          </p>
          <pre tabIndex={0} aria-label="Properties">
            {JSON.stringify(properties, null, 2)}
          </pre>
        </div>
      </details>
      {hasVisitor && visitor !== '' && (
        <a
          class="event-visitor"
          href={addressOf('/events', address.query, pathQuery(event))}
          title="What this visitor did"
        >
          <bdi>{visitor}</bdi>
        </a>
      )}
    </li>
  );
}
