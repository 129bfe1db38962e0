// The figures beside revenue, one a line: name and window, where it is heading, how much. All of it comes
// from the stream.

import type { ComponentChildren } from 'preact';
import { Sparkline, type SparklineProps } from '../charts/Sparkline';
import { count, lastWindow, percent } from '../format';
import { SECOND_MS, lastBuckets, sumOf, type Point } from '../stream/series';
import {
  ERROR_RATE_MINUTES,
  SECONDS_SHOWN,
  activeUsersBySecond,
  errorRateRecent,
  errorRateToday,
} from '../stream/state';
import type { Panel, PanelProps } from './panel';

export const figures: Panel = {
  id: 'figures',
  place: 'board',
  shownIn: 'every shop',
  // `events` is what the error rate divides by.
  metrics: ['purchases', 'page_views', 'errors', 'error_rate', 'events'],
  Content: Figures,
};

interface FigureProps {
  id: string;
  name: string;
  window: string;
  /** Undefined until the first snapshot. */
  value: number | undefined;
  text(value: number): string;
  /** Shown on hovering the name, where the window needs more than its name. */
  explain?: string;
  children?: ComponentChildren;
}

function Figure({ id, name, window, value, text, explain, children }: FigureProps) {
  return (
    <article class="figure" data-testid={`card-${id}`} aria-labelledby={`${id}-name`}>
      <div class="figure-name" title={explain}>
        <h2 id={`${id}-name`}>{name}</h2>
        <p class="window">{window}</p>
      </div>
      <div class="figure-aside">{children}</div>
      <p class="value" data-testid="value" data-value={value ?? ''}>
        {value === undefined ? '–' : text(value)}
      </p>
    </article>
  );
}

function Trend({ caption, ...spark }: { caption: string } & SparklineProps) {
  return (
    <>
      <Sparkline {...spark} />
      <p class="aside-text">{caption}</p>
    </>
  );
}

/** The second in progress stays out of a line, which would end in a drop that isn't one. */
const FINISHED_SECONDS = SECONDS_SHOWN - 1;

function Figures({ view }: PanelProps) {
  const { state, asOf, dayWord } = view;
  const totals = state?.totals;
  const seconds = state ? lastBuckets(state.seconds, asOf, SECOND_MS, SECONDS_SHOWN) : [];
  const trend = (pick: (point: Point) => number, tone: SparklineProps['tone']) =>
    state && !state.hasSeconds ? null : (
      <Trend
        values={seconds.slice(0, -1).map(pick)}
        slots={FINISHED_SECONDS}
        from="zero"
        tone={tone}
        caption={state ? `${count(sumOf(seconds, pick))} in the last 60 s` : ''}
      />
    );

  const activeWindow = lastWindow(state?.activeUsersWindowSeconds ?? 300);

  return (
    <section class="figures" aria-label="Figures">
      <Figure
        id="activeUsers"
        name="Active users"
        window={activeWindow}
        value={state?.activeUsers ?? undefined}
        text={count}
        explain={`Different sessions with at least one event in the ${activeWindow}`}
      >
        <Trend
          values={state ? activeUsersBySecond(state, asOf) : []}
          slots={SECONDS_SHOWN}
          from="low"
          tone="plain"
          caption="over the last 60 s"
        />
      </Figure>
      <Figure id="purchases" name="Purchases" window={dayWord} value={totals?.purchases} text={count}>
        {trend((point) => point.purchases, 'plain')}
      </Figure>
      <Figure id="pageViews" name="Page views" window={dayWord} value={totals?.pageViews} text={count}>
        {trend((point) => point.pageViews, 'plain')}
      </Figure>
      <Figure id="errors" name="Errors" window={dayWord} value={totals?.errors} text={count}>
        {trend((point) => point.errors, 'error')}
      </Figure>
      <Figure
        id="errorRate"
        name="Error rate"
        window={`last ${ERROR_RATE_MINUTES} minutes`}
        value={state ? errorRateRecent(state, asOf) : undefined}
        text={percent}
        explain={`Errors among all events of the minute in progress and the ${ERROR_RATE_MINUTES - 1} before it`}
      >
        {state && (
          <p class="aside-figure" data-testid="value-today" data-value={errorRateToday(state)}>
            {percent(errorRateToday(state))} <span class="window">{dayWord}</span>
          </p>
        )}
      </Figure>
    </section>
  );
}
