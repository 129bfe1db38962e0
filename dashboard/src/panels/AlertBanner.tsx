// What fires, above everything else. The most severe stands first, with what explains it.

import { currencyOf, type View } from '../live';
import { sinceWhen, spoken, whatExplains, whatHappened, type Alert, type UnitOf } from '../questions/alerts';

/** More than these are counted, or the banner would push the numbers off a phone's screen. */
const SHOWN = 3;

export const unitOf =
  ({ answers }: View): UnitOf =>
  (metric) =>
    answers.catalogue.metrics.find(({ name }) => name === metric)?.unit ?? null;

const SEVERITY_WORDS = { critical: 'Critical', warning: 'Warning', info: 'Notice' } as const;

export function AlertBanner({ view }: { view: View }) {
  const { alerts } = view.answers;
  const hidden = alerts.firing.length - SHOWN;
  return (
    <>
      {/* There before anything fires, or a screen reader would not hear the first one. */}
      <p class="sr-only" role="status" aria-live="assertive" data-testid="alert-spoken">
        {spoken(alerts, currencyOf(view), unitOf(view))}
      </p>
      {alerts.firing.length > 0 && (
        <section class="alerts" aria-label="Alerts" data-testid="alerts">
          {alerts.firing.slice(0, SHOWN).map((alert) => (
            <FiringAlert key={alert.id} alert={alert} view={view} />
          ))}
          {hidden > 0 && <p class="alerts-more">and {hidden} more</p>}
        </section>
      )}
    </>
  );
}

function FiringAlert({ alert, view }: { alert: Alert; view: View }) {
  const explains = whatExplains(alert);
  return (
    <article class="alert" data-severity={alert.severity} data-testid={`alert-${alert.name}`}>
      <svg class="alert-mark" viewBox="0 0 16 16" aria-hidden="true">
        <path d={alert.severity === 'info' ? 'M8 7.2v4.3M8 4.5v.2' : 'M8 4.3v4.4M8 11.3v.2'} />
        <circle cx="8" cy="8" r="7" />
      </svg>
      <div class="alert-text">
        <h2>
          <span class="sr-only">{SEVERITY_WORDS[alert.severity]}: </span>
          {alert.title}
        </h2>
        <p>
          {whatHappened(alert, currencyOf(view), unitOf(view))} {explains && <b>{explains}</b>}
        </p>
      </div>
      <p class="alert-since">{sinceWhen(alert, view.asOf, view.state?.timezone ?? 'UTC')}</p>
    </article>
  );
}
