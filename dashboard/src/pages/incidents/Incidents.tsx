// The alerts that fire and those that are over, each with a page of its own.

import { percentShort } from '../../format';
import { currencyOf, type View } from '../../live';
import { whatExplains, whatHappened, whenItWas, sinceWhen } from '../../questions/alert-words';
import { alertsQuestion, type Alert } from '../../questions/alerts';
import { catalogueQuestion, unitIn } from '../../questions/metrics';
import { addressOf, type Address } from '../../router/address';
import type { PageProps } from '../page';
import { Empty, Shell } from '../Shell';

export function Incidents({ view, address }: PageProps) {
  const { firing, history } = view.peek(alertsQuestion);
  return (
    <Shell title="Incidents" lead="What went wrong, when, and why.">
      {firing.length === 0 && history.length === 0 && (
        <Empty title="Nothing has fired">
          <p>
            An alert compares a number with what it usually is, so it needs some time with events before it can fire.
            The rules stand in the server's configuration, as <code>[[alert]]</code>; <code>floodmark check</code> says
            each in words, and <code>floodmark alerts test</code> when it would have fired.
          </p>
        </Empty>
      )}
      {firing.length > 0 && <List {...{ view, address }} title="Now" id="firing" alerts={firing} />}
      {history.length > 0 && <List {...{ view, address }} title="Over" id="over" alerts={history} />}
    </Shell>
  );
}

interface ListProps {
  view: View;
  address: Address;
  title: string;
  id: string;
  alerts: readonly Alert[];
}

function List({ view, address, title, id, alerts }: ListProps) {
  const unitOf = unitIn(view.peek(catalogueQuestion));
  return (
    <section class="part" aria-labelledby={id} data-testid={`incidents-${id}`}>
      <h2 id={id}>{title}</h2>
      <ul class="incidents">
        {alerts.map((alert) => (
          <li key={alert.id} data-severity={alert.severity} data-testid={`incident-${alert.name}`}>
            <SeverityTag alert={alert} />
            <p class="incident-title">
              <a href={addressOf(`/incidents/${encodeURIComponent(alert.id)}`, address.query)}>{alert.title}</a>
            </p>
            <p class="incident-what">
              {whatHappened(alert, currencyOf(view), unitOf)} <span class="soft">{why(alert)}</span>
            </p>
            <p class="incident-when">
              {id === 'firing' ? sinceWhen(alert, view.asOf, view.zone) : whenItWas(alert, view.asOf, view.zone)}
            </p>
          </li>
        ))}
      </ul>
    </section>
  );
}

/** What accounts for it most, in a sentence; empty where that is not known. */
function why(alert: Alert): string {
  const cause = alert.causes[0];
  return cause
    ? `${cause.conditions.join(' with ')}: ${percentShort(cause.share)} of the change.`
    : whatExplains(alert);
}

const SEVERITY_WORDS = { critical: 'Critical', warning: 'Warning', info: 'Notice' } as const;

export const SeverityTag = ({ alert }: { alert: Alert }) => (
  <p class="tag" data-severity={alert.severity}>
    {SEVERITY_WORDS[alert.severity]}
  </p>
);
