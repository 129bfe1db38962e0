// By source: how many events came within the last day, of which types, with which properties.

import { useMemo } from 'preact/hooks';
import { Sparkline } from '../../charts/Sparkline';
import { age, count, percentShort } from '../../format';
import type { View } from '../../live';
import { useAnswer } from '../../questions/use_answer';
import { Empty } from '../Shell';
import { bySource, schemasQuestion, type Schema, type SourceOf } from './schemas';

export function Arriving({ view }: { view: View }) {
  const answer = useAnswer(view, schemasQuestion);
  const sources = useMemo(() => (answer?.kind === 'known' ? bySource(answer.value.schemas) : null), [answer]);
  return (
    <section class="part" aria-labelledby="arriving" aria-busy={answer?.kind === 'waiting'} data-testid="arriving">
      <h2 id="arriving">
        What arrives <span class="window">last 24 hours</span>
      </h2>
      {answer?.kind === 'refused' && <p class="soft">{answer.message}.</p>}
      {sources?.length === 0 && (
        <Empty title="Nothing has come in yet">
          <p>
            A key gives a sender its name: <code>floodmark keys add web --public</code>. SDKs of other systems send to
            this server as they are; the page <a href="/">Now</a> has a first event to paste.
          </p>
        </Empty>
      )}
      {sources?.map((source) => (
        <SourceLine key={source.name} source={source} now={view.asOf} />
      ))}
    </section>
  );
}

const agoText = (time: number | null, now: number): string =>
  time === null ? 'not for 30 days' : `${age(Math.max(0, now - time))} ago`;

function SourceLine({ source, now }: { source: SourceOf; now: number }) {
  const { name, events, lastSeen, trend, schemas } = source;
  return (
    <article class="source" data-testid={`source-${name}`} aria-label={name}>
      <div class="source-head">
        <h3>
          <bdi>{name}</bdi>
        </h3>
        <Sparkline values={trend} slots={Math.max(2, trend.length)} from="zero" tone="plain" />
        <p>
          <b>{count(events)}</b> {events === 1 ? 'event' : 'events'}
        </p>
        <p class="soft">the last {agoText(lastSeen, now)}</p>
      </div>
      {schemas.map((schema) => (
        <SchemaLine key={schema.type} schema={schema} now={now} />
      ))}
    </article>
  );
}

function SchemaLine({ schema, now }: { schema: Schema; now: number }) {
  const { type, events, lastSeen, properties } = schema;
  return (
    <details class="schema" data-testid={`schema-${type}`}>
      <summary>
        <span class="schema-type">
          <bdi>{type}</bdi>
        </span>
        <span>{count(events)}</span>
        <span class="soft">{agoText(lastSeen, now)}</span>
        <span class="soft schema-properties">
          {count(properties.length)} {properties.length === 1 ? 'property' : 'properties'}
        </span>
      </summary>
      {properties.length === 0 ? (
        <p class="soft">These events have no properties.</p>
      ) : (
        <table class="data">
          <thead>
            <tr>
              <th scope="col">Property</th>
              <th scope="col">In so many events</th>
              <th scope="col">Types</th>
            </tr>
          </thead>
          <tbody>
            {properties.map(({ name, share, types }) => (
              <tr key={name}>
                <th scope="row">
                  <bdi>{name}</bdi>
                </th>
                <td>{share === null ? '–' : percentShort(share)}</td>
                <td>{types.join(', ')}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </details>
  );
}
