// One incident: what, when, why, and who met it.

import { useMemo } from 'preact/hooks';
import { maySee } from '../../access/call';
import { TitledChart } from '../../charts/TitledChart';
import { clockSecond, countCompact, dayShort, lasted, moneyCompact, percentShort } from '../../format';
import { currencyOf, type View } from '../../live';
import { amount, sinceWhen, whatHappened, whenItWas } from '../../questions/alert-words';
import { alertsQuestion, type Alert } from '../../questions/alerts';
import { useMarks } from '../../questions/marks';
import { catalogueQuestion, nameInWords, unitIn, type Unit } from '../../questions/metrics';
import { refusable } from '../../questions/question';
import { useAnswer } from '../../questions/use_answer';
import { addressOf } from '../../router/address';
import { ticksAt, tickLabel } from '../explore/axis';
import { parseSeries } from '../explore/state';
import type { PageProps } from '../page';
import { Empty, Shell } from '../Shell';
import { SeverityTag } from './Incidents';
import { drawnStretch, isFall } from './story';
import { Who } from './Who';
import { useCauses, Why } from './Why';

export function Incident(props: PageProps) {
  const { view, address } = props;
  const { firing, history, isAnswered } = view.peek(alertsQuestion);
  const alert = [...firing, ...history].find(({ id }) => id === address.id);
  if (!alert) {
    if (!isAnswered) return <Shell title="Incident" isBusy />;
    return (
      <Shell title="This incident is not known">
        <Empty title="The server has none of this name">
          <p>
            It keeps the latest ones only. <a href={addressOf('/incidents', address.query)}>See all that it knows</a>.
          </p>
        </Empty>
      </Shell>
    );
  }
  return <Known {...props} alert={alert} isFiring={firing.includes(alert)} />;
}

type KnownProps = PageProps & { alert: Alert; isFiring: boolean };

function Known({ view, visitor, address, alert, isFiring }: KnownProps) {
  const unitOf = unitIn(view.peek(catalogueQuestion));
  const unit = alert.unit ?? unitOf(alert.metric);
  const currency = currencyOf(view);
  const isMetric = unitOf(alert.metric) !== null;
  const causes = useCauses(view, alert, isMetric);
  const explore = isMetric && !alert.isHidden ? exploreHref(alert, view, address.query) : null;
  return (
    <Shell
      title={alert.title}
      lead={
        <>
          <SeverityTag alert={alert} />{' '}
          {isFiring ? `Fires. ${sinceWhen(alert, view.asOf, view.zone)}` : whenItWas(alert, view.asOf, view.zone)}
        </>
      }
    >
      <div class="incident" data-testid="incident">
        <section class="part" aria-labelledby="what">
          <h2 id="what">What</h2>
          <p class="incident-words">{whatHappened(alert, currency, unitOf)}</p>
          <Facts {...{ view, alert, unit, isFiring }} />
          {explore && (
            <p class="actions">
              <a class="button" href={explore}>
                Explore this number
              </a>
            </p>
          )}
        </section>
        <Why {...{ view, isMetric, alert, unit, causes }} />
        {isMetric && !alert.isHidden && <Course {...{ view, alert, unit }} />}
        {isMetric && maySee(visitor.who, 'events') && (
          <Who {...{ view, address, alert }} causes={causes?.causes ?? []} />
        )}
      </div>
    </Shell>
  );
}

function exploreHref(alert: Alert, view: View, query: URLSearchParams): string {
  const { from, to, interval } = drawnStretch(alert, view.asOf);
  const ends = { from: new Date(from).toISOString(), to: new Date(to).toISOString() };
  return addressOf('/explore', query, { metric: alert.metric, interval, ...ends });
}

interface PartProps {
  view: View;
  alert: Alert;
  unit: Unit | null;
}

function Facts({ view, alert, unit, isFiring }: PartProps & { isFiring: boolean }) {
  const { zone } = view;
  const moment = (time: number) => `${dayShort(time, zone)}, ${clockSecond(time, zone)}`;
  const text = (value: number) => amount(value, unit, currencyOf(view));
  const { since, clearedAt, breachedUntil, windowSeconds, value, threshold, baseline, isHidden } = alert;
  const facts: (readonly [string, string] | false)[] = [
    ['Fired', moment(since)],
    breachedUntil !== null && ['Last bad', `${moment(breachedUntil)}, after ${lasted(breachedUntil - since)}`],
    clearedAt !== null && !isFiring && ['Known to be over', moment(clearedAt)],
    ['Watched', nameInWords(alert.metric || alert.name)],
    !isHidden && ['When it fired', text(value)],
    !isHidden && ['Limit', text(threshold)],
    !isHidden && baseline !== null && ['Usually', text(baseline)],
    windowSeconds !== null && [
      'Measured over',
      windowSeconds % 60 ? `${windowSeconds} s` : `${windowSeconds / 60} min`,
    ],
  ];
  return (
    <dl class="facts">
      {facts
        .filter((fact) => fact !== false)
        .map(([name, words]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{words}</dd>
          </div>
        ))}
    </dl>
  );
}

/** How the number went, from half an hour before to half an hour after. */
function Course({ view, alert, unit }: PartProps) {
  const { zone } = view;
  const isOver = alert.clearedAt !== null;
  // To the minute, so that a chart of what goes on is the same question for a minute.
  const now = Math.floor(view.asOf / 60_000) * 60_000;
  const { from, to, interval } = drawnStretch(alert, now);
  const question = useMemo(
    () =>
      refusable({
        path: 'timeseries',
        parameters: { metric: alert.metric, interval, from: String(from), to: String(to) },
        everyMs: isOver ? 120_000 : 10_000,
        parse: parseSeries,
      }),
    [alert.metric, interval, from, to, isOver],
  );
  const answer = useAnswer(view, question);
  const last = useMemo(() => ({ rows: answer?.kind === 'known' ? answer.value : null }), [answer]);
  const rows = last.rows;
  const marks = useMarks(view, from, to);
  const currency = currencyOf(view);
  const text = (value: number) => amount(value, unit, currency);
  const bucketMs = interval === '1m' ? 60_000 : 900_000;
  // The limit is one of the window that the rule looks at: of a share it says the same by minute, of a count not.
  const hasLimit = unit === 'ratio' || (alert.windowSeconds ?? 0) * 1000 === bucketMs;
  return (
    <section class="part incident-course" aria-label="How it went" aria-busy={rows === null}>
      {rows && rows.length > 0 && (
        <TitledChart
          title={`${nameInWords(alert.metric)} by ${interval === '1m' ? 'minute' : '15 minutes'}`}
          window={isOver ? 'half an hour before to half an hour after' : 'half an hour before until now'}
          unit={nameInWords(alert.metric)}
          times={rows.map(({ timestamp }) => timestamp)}
          values={rows.map(({ value }) => value)}
          isOver={rows.at(-1)?.inProgress !== true}
          {...(hasLimit && { baseline: rows.map(() => alert.threshold), baselineName: 'limit' })}
          marks={marks}
          bucketMs={bucketMs}
          colours={
            isFall(alert)
              ? { bar: '--views-bar', growing: '--views-growing' }
              : { bar: '--error-bar', growing: '--error-growing' }
          }
          leastTop={unit === 'ratio' ? 0.01 : 2}
          hasTimeLabels
          yLabel={(value) =>
            unit === 'money'
              ? moneyCompact(value, currency)
              : unit === 'ratio'
                ? percentShort(value)
                : countCompact(value)
          }
          xTicks={(start, end, rems) =>
            ticksAt(
              rows.map(({ timestamp }) => timestamp),
              start,
              end,
              rems,
              zone,
            )
          }
          xLabel={(tick) => tickLabel(Math.round(tick * 1000), bucketMs, zone)}
          labelsKey={zone}
          timeText={(time) => `at ${tickLabel(time, bucketMs, zone)}`}
          valueText={text}
          quietText="Nothing was counted"
        />
      )}
    </section>
  );
}
