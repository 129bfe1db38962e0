// Alerts that are over, for whoever comes back from lunch.

import { currencyOf, type View } from '../live';
import { whatExplains, whatHappened, whenItWas } from '../questions/alerts';
import { unitOf } from './AlertBanner';

export function AlertHistory({ view }: { view: View }) {
  const { history } = view.answers.alerts;
  if (history.length === 0) return null;
  return (
    <section class="note" aria-labelledby="history" data-testid="alert-history">
      <h2 id="history">Earlier alerts</h2>
      <ul class="history">
        {history.map((alert) => (
          <li key={alert.id}>
            <p class="history-when">{whenItWas(alert, view.asOf, view.state?.timezone ?? 'UTC')}</p>
            <p>
              <b>{alert.title}</b>{' '}
              <span class="soft">
                {whatHappened(alert, currencyOf(view), unitOf(view))} {whatExplains(alert)}
              </span>
            </p>
          </li>
        ))}
      </ul>
    </section>
  );
}
