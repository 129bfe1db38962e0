// What is chosen under "Explore". Every choice changes the address, and nothing else: the page follows from that.

import { useMemo } from 'preact/hooks';
import { Field } from '../Field';
import type { View } from '../../live';
import type { Occasion } from '../../questions/baseline';
import { breakdownTitle } from '../../questions/breakdowns';
import { nameInWords, type Catalogue } from '../../questions/metrics';
import { refusable } from '../../questions/question';
import { useAnswer } from '../../questions/use_answer';
import { momentOf } from '../../router/address';
import { change } from '../../router/router';
import { hoursOf, intervalsFor, RANGES } from './span';
import { parseTypes, VISITORS, type Exploring } from './state';
import { momentAt, wallClock } from '../../wall_clock';

const HOUR_MS = 3_600_000;

const ORDINARY = [
  ['yesterday', 'The day before'],
  ['last_week', 'The week before'],
  ['last_year', 'The year before'],
] as const;

interface ControlsProps {
  view: View;
  exploring: Exploring;
  catalogue: Catalogue;
  occasions: readonly Occasion[];
}

export function Controls({ view, exploring, catalogue, occasions }: ControlsProps) {
  const typesQuestion = useMemo(
    () => refusable({ path: 'current', parameters: {}, everyMs: 60_000, parse: parseTypes }),
    [],
  );
  const known = useAnswer(view, typesQuestion);
  const { of, span, interval, compare, by } = exploring;
  const chosen = 'metric' in of ? `metric ${of.metric.name}` : `type ${of.type}`;
  const types = [...new Set([...(known?.kind === 'known' ? known.value : []), ...('type' in of ? [of.type] : [])])];
  const byDayOnly = 'metric' in of && of.metric.byDayOnly;
  const choose = (value: string) => {
    const [kind = '', name = ''] = [value.slice(0, value.indexOf(' ')), value.slice(value.indexOf(' ') + 1)];
    change({ metric: null, type: null, [kind]: name });
  };
  const isListed = 'type' in of || [...catalogue.metrics, VISITORS].includes(of.metric);
  return (
    <form class="controls" aria-label="What is shown" onSubmit={(event) => event.preventDefault()}>
      <Field label="Number">
        <select value={chosen} onChange={({ currentTarget }) => choose(currentTarget.value)} data-testid="number">
          <optgroup label="Metrics">
            {!isListed && 'metric' in of && <option value={chosen}>{nameInWords(of.metric.name)}</option>}
            {catalogue.metrics.map(({ name }) => (
              <option key={name} value={`metric ${name}`}>
                {nameInWords(name)}
              </option>
            ))}
            <option value={`metric ${VISITORS.name}`}>Visitors</option>
          </optgroup>
          <optgroup label="Events of a type">
            {types.map((type) => (
              <option key={type} value={`type ${type}`}>
                {type}
              </option>
            ))}
          </optgroup>
        </select>
      </Field>
      <Field label="Span">
        <select
          value={span.range}
          data-testid="range"
          onChange={({ currentTarget }) => chooseRange(currentTarget.value, exploring, view.asOf)}
        >
          {Object.entries(RANGES).map(([name, { words }]) => (
            <option key={name} value={name}>
              {words}
            </option>
          ))}
          <option value="">From … to …</option>
        </select>
      </Field>
      {span.from && <Ends {...{ view, exploring }} />}
      <Field label="By">
        <select
          value={interval.name}
          data-testid="interval"
          onChange={({ currentTarget }) => change({ interval: currentTarget.value })}
        >
          {intervalsFor(hoursOf(span, view.asOf), byDayOnly).map(({ name, words }) => (
            <option key={name} value={name}>
              {words}
            </option>
          ))}
        </select>
      </Field>
      <Field label="Compared with">
        <select
          value={compare}
          data-testid="compare"
          onChange={({ currentTarget }) => change({ compare: currentTarget.value })}
        >
          <option value="">Nothing</option>
          {ORDINARY.map(([name, words]) => (
            <option key={name} value={name}>
              {words}
            </option>
          ))}
          {occasions
            .filter(({ end, name }) => end <= view.asOf || name === compare)
            .map(({ name, words }) => (
              <option key={name} value={name}>
                {words}
              </option>
            ))}
        </select>
      </Field>
      <Field label="And values of">
        <select value={by} data-testid="by" onChange={({ currentTarget }) => change({ by: currentTarget.value })}>
          <option value="">Nothing</option>
          {catalogue.breakdowns.map((breakdown) => {
            const name = `${breakdown.type}/${breakdown.property}`;
            return (
              <option key={name} value={name}>
                {breakdownTitle(breakdown)}
              </option>
            );
          })}
        </select>
      </Field>
    </form>
  );
}

/** A span with ends of its own begins with those of the one before, to the minute. */
function chooseRange(range: string, { span }: Exploring, now: number): void {
  if (range !== '') return change({ range, from: null, to: null, interval: null });
  const end = Math.floor(now / 60_000) * 60_000;
  const from = end - hoursOf(span, now) * HOUR_MS;
  change({ range: null, from: new Date(from).toISOString(), to: new Date(end).toISOString(), interval: null });
}

/** The ends of a span, by the clock that the page shows. */
function Ends({ view: { zone, asOf }, exploring: { span } }: { view: View; exploring: Exploring }) {
  const end = (name: 'from' | 'to', label: string) => {
    const time = momentOf(span[name]) ?? asOf;
    return (
      <Field label={label}>
        <input
          type="datetime-local"
          value={wallClock(time, zone)}
          onChange={({ currentTarget }) => {
            const moment = momentAt(currentTarget.value, zone);
            if (moment !== null) change({ [name]: new Date(moment).toISOString(), interval: null });
          }}
        />
      </Field>
    );
  };
  return (
    <>
      {end('from', 'From')}
      {end('to', 'To')}
    </>
  );
}
