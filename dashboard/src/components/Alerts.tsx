// What fires, on top of the page; what fired, further down.

import type { Alert, Severity } from '../business/shapes';
import { alertInWords } from '../business/words';
import type { View } from '../live';

const SIGN: Record<Severity, string> = { critical: 'Critical', warning: 'Warning', info: 'Notice' };

interface AlertsProps {
  view: View;
  alerts: readonly Alert[];
}

/** Announced to screen readers as it changes; nothing at all while nothing fires. */
export function FiringAlerts({ view, alerts }: AlertsProps) {
  const { state, asOf } = view;
  return (
    <div class="alerts" role="alert" data-testid="alerts">
      {state &&
        alerts.map((alert) => {
          const words = alertInWords(alert, state.currency, state.timezone, asOf);
          return (
            <section class="alert" key={alert.name} data-severity={alert.severity} data-testid={`alert-${alert.name}`}>
              <p class="alert-sign">{SIGN[alert.severity]}</p>
              <p class="alert-title">
                <strong>{words.title}</strong> {words.what}
              </p>
              {words.why && <p class="alert-why">{words.why}</p>}
              {/* Ages change each second: not for a live region to read out. */}
              <p class="alert-since" aria-live="off">
                {words.since}
              </p>
            </section>
          );
        })}
    </div>
  );
}

/** The last few that are over. */
const SHOWN = 5;

export function PastAlerts({ view, alerts }: AlertsProps) {
  const { state, asOf } = view;
  if (!state || alerts.length === 0) return null;
  return (
    <section class="panel" aria-labelledby="past-alerts">
      <h2 id="past-alerts">
        Alerts <span class="window">that are over</span>
      </h2>
      <ul class="past-alerts">
        {alerts.slice(0, SHOWN).map((alert) => {
          const words = alertInWords(alert, state.currency, state.timezone, asOf);
          return (
            <li key={`${alert.name} ${alert.since}`}>
              <span>{words.title}</span>
              <span class="window">{words.since}</span>
              {words.why && <span class="past-why">{words.why}</span>}
            </li>
          );
        })}
      </ul>
    </section>
  );
}
