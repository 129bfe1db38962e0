// What has changed in what arrives: the alerts of drift, and properties that came, became rare or are gone.

import { useMemo } from 'preact/hooks';
import { percentShort } from '../../format';
import type { View } from '../../live';
import { whenItWas } from '../../questions/alert-words';
import { alertsQuestion } from '../../questions/alerts';
import { useAnswer } from '../../questions/use_answer';
import { addressOf, type Address } from '../../router/address';
import { schemasQuestion, shiftsOf, type Shift } from './schemas';

/** The alert that says that the properties of events have changed. */
const DRIFT = 'schema_drift';

export function Drift({ view, address }: { view: View; address: Address }) {
  const { firing, history } = view.peek(alertsQuestion);
  const answer = useAnswer(view, schemasQuestion);
  const shifts = useMemo(() => (answer?.kind === 'known' ? shiftsOf(answer.value) : []), [answer]);
  const alerts = [...firing, ...history].filter(({ name }) => name.startsWith(DRIFT));
  return (
    <section class="part" aria-labelledby="drift" data-testid="drift">
      <h2 id="drift">
        What has changed in it <span class="window">last 24 hours, and alerts</span>
      </h2>
      {alerts.length === 0 && shifts.length === 0 && (
        <p class="soft">Nothing: events have the properties that they usually have.</p>
      )}
      <ul class="shifts">
        {alerts.map((alert) => (
          <li key={alert.id}>
            <a href={addressOf(`/incidents/${encodeURIComponent(alert.id)}`, address.query)}>{alert.title}</a>{' '}
            <span class="soft">{firing.includes(alert) ? 'fires now' : whenItWas(alert, view.asOf, view.zone)}</span>
          </li>
        ))}
        {shifts.map((shift) => (
          <li key={`${shift.type} ${shift.source} ${shift.property}`} data-kind={shift.kind}>
            {inWords(shift)}
          </li>
        ))}
      </ul>
    </section>
  );
}

function inWords({ type, source, property, kind, was, now }: Shift) {
  const of = (
    <span class="soft">
      in <bdi>{type}</bdi> from <bdi>{source}</bdi>
    </span>
  );
  const name = (
    <b>
      <bdi>{property}</bdi>
    </b>
  );
  if (kind === 'new') {
    return (
      <>
        {name} is new {of}
      </>
    );
  }
  return (
    <>
      {name} was in {percentShort(was)} of events and is in {now === 0 ? 'none' : percentShort(now)} {of}
    </>
  );
}
