// The alerts that fire, above everything else. The most severe stands first, with what explains it.

import { currencyOf, type View } from '../live';
import { sinceWhen, spoken, titleWarning, whatExplains, whatHappened } from '../questions/alert-words';
import { alertsQuestion, type Alert } from '../questions/alerts';
import { FOLLOWED, alertsNowQuestion, howItStands } from '../questions/alerts-now';
import { catalogueQuestion, unitIn } from '../questions/metrics';
import { hrefAt } from '../router/address';
import { current, hrefOf } from '../router/router';
import type { Panel, PanelProps } from './panel';

export const alertBanner: Panel = {
  id: 'alert-banner',
  place: 'top',
  shownIn: 'every shop',
  // The catalogue says what the values of an alert's metric are, where the alert doesn't.
  asks: [alertsQuestion, catalogueQuestion, alertsNowQuestion],
  warning: (view) => titleWarning(view.answerTo(alertsQuestion)),
  Content: AlertBanner,
};

/** Alerts with a line of their own. The others are counted, so that the numbers stay on a phone's screen. */
const SHOWN = FOLLOWED;

const SEVERITY_WORDS = { critical: 'Critical', warning: 'Warning', info: 'Notice' } as const;

function AlertBanner({ view }: PanelProps) {
  const alerts = view.answerTo(alertsQuestion);
  const hidden = alerts.firing.length - SHOWN;
  return (
    <>
      {/* This is there before anything fires, or a screen reader would not announce the first alert. */}
      <p class="sr-only" role="status" aria-live="assertive" data-testid="alert-spoken">
        {spoken(alerts, currencyOf(view), unitIn(view.answerTo(catalogueQuestion)))}
      </p>
      {alerts.firing.length > 0 && (
        <section class="alerts" aria-label="Alerts" data-testid="alerts">
          {alerts.firing.slice(0, SHOWN).map((alert) => (
            <FiringAlert key={alert.id} alert={alert} view={view} />
          ))}
          {hidden > 0 && (
            <p class="alerts-more">
              <a href={hrefOf('/incidents')}>and {hidden} more</a>
            </p>
          )}
        </section>
      )}
    </>
  );
}

function FiringAlert({ alert, view }: { alert: Alert; view: View }) {
  const explains = whatExplains(alert);
  const unitOf = unitIn(view.answerTo(catalogueQuestion));
  const timezone = view.zone;
  const currency = currencyOf(view);
  const course = view.answerTo(alertsNowQuestion).get(alert.id);
  const stands = howItStands(alert, course, view.asOf, { currency, timezone, unitOf });
  return (
    <article class="alert" data-severity={alert.severity} data-testid={`alert-${alert.name}`}>
      <svg class="alert-mark" viewBox="0 0 16 16" aria-hidden="true">
        <path d={alert.severity === 'info' ? 'M8 7.2v4.3M8 4.5v.2' : 'M8 4.3v4.4M8 11.3v.2'} />
        <circle cx="8" cy="8" r="7" />
      </svg>
      <div class="alert-text">
        <h2>
          <span class="sr-only">{SEVERITY_WORDS[alert.severity]}: </span>
          <a href={hrefOf(`/incidents/${encodeURIComponent(alert.id)}`)}>{alert.title}</a>
        </h2>
        <p>
          {whatHappened(alert, currency, unitOf)} {explains && <b>{explains}</b>}
        </p>
        {stands && <p data-testid="alert-stands">{stands}</p>}
      </div>
      <p class="alert-since">
        <a href={hrefAt(alert.since, current().query)} title="Show this moment">
          {sinceWhen(alert, view.asOf, timezone)}
        </a>
      </p>
    </article>
  );
}
