// The alerts that are over, for whoever comes back from lunch.

import { currencyOf } from '../live';
import { whatExplains, whatHappened, whenItWas } from '../questions/alert-words';
import { alertsQuestion } from '../questions/alerts';
import { catalogueQuestion, unitIn } from '../questions/metrics';
import { hrefAt } from '../router/address';
import { current, hrefOf } from '../router/router';
import type { Panel, PanelProps } from './panel';

export const alertHistory: Panel = {
  id: 'alert-history',
  place: 'notes',
  shownIn: 'every shop',
  asks: [alertsQuestion, catalogueQuestion],
  Content: AlertHistory,
};

/** Alerts that are shown. A longer list would draw the eye; all of them are under Incidents. */
const SHOWN = 8;

function AlertHistory({ view }: PanelProps) {
  const all = view.answerTo(alertsQuestion).history;
  // At a moment of the past, what was over by then.
  const history = all.filter(({ clearedAt }) => !view.past || (clearedAt ?? Infinity) <= view.asOf);
  if (history.length === 0) return null;
  return (
    <section class="note" aria-labelledby="history" data-testid="alert-history">
      <h2 id="history">Earlier alerts</h2>
      <ul class="history">
        {history.slice(0, SHOWN).map((alert) => (
          <li key={alert.id}>
            <p class="history-when">
              <a href={hrefAt(alert.since, current().query)} title="Show this moment">
                {whenItWas(alert, view.asOf, view.zone)}
              </a>
            </p>
            <p>
              <b>
                <a href={hrefOf(`/incidents/${encodeURIComponent(alert.id)}`)}>{alert.title}</a>
              </b>{' '}
              <span class="soft">
                {whatHappened(alert, currencyOf(view), unitIn(view.answerTo(catalogueQuestion)))} {whatExplains(alert)}
              </span>
            </p>
          </li>
        ))}
      </ul>
    </section>
  );
}
