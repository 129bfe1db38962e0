// What the day's totals come to: what an order is worth, how many visits end in one, what goes back, and
// how many orders fail in the checkout.

import { Hidden } from '../components/Hidden';
import { clockMinute, money, percent } from '../format';
import { currencyOf } from '../live';
import { parsePoints, type PointsByTime } from '../questions/baseline';
import { leftOutText, metricValuesQuestion } from '../questions/metrics';
import { lastHour, oneRequest } from '../questions/question';
import { toMoneyUnits } from '../stream/frames';
import { MINUTE_MS, bucketStart } from '../stream/series';
import { isHidden } from '../stream/state';
import type { Panel, PanelProps } from './panel';

/** The share of the checkout's orders that failed, by minute of the last hour. */
const checkoutQuestion = oneRequest<PointsByTime | null>({
  path: 'timeseries',
  parameters: { metric: 'checkout_error_rate', hours: '1' },
  everyMs: 10_000,
  atMoment: (moment) => ({
    path: 'timeseries',
    parameters: { metric: 'checkout_error_rate', ...lastHour(moment) },
  }),
  initially: null,
  parse: parsePoints,
  // The configuration has no such metric.
  whenUnknown: null,
});

export const today: Panel = {
  id: 'today',
  place: 'board',
  shownIn: 'a shop with events',
  metrics: [
    'refunds',
    'net_revenue',
    'average_order_value',
    'conversion',
    // Parts of the conversion and of the checkout's error rate.
    'sessions',
    'checkout_errors',
    'checkout_error_rate',
  ],
  asks: [metricValuesQuestion, checkoutQuestion],
  Content: Today,
};

interface CellProps {
  id: string;
  name: string;
  /** The window, as every number has one. */
  window: string;
  value: number | null;
  text(value: number): string;
  tone?: 'error';
  isHidden?: boolean;
}

function Cell({ id, name, window, value, text, tone, isHidden = false }: CellProps) {
  return (
    <article class="cell" data-testid={`card-${id}`} data-tone={tone} aria-labelledby={`${id}-name`}>
      <h2 id={`${id}-name`}>{name}</h2>
      <p class="value" data-testid="value" data-value={value ?? ''}>
        {isHidden ? <Hidden /> : value === null ? '–' : text(value)}
      </p>
      <p class="window">{window}</p>
    </article>
  );
}

function Today({ view }: PanelProps) {
  const { values: metrics, leftOut } = view.answerTo(metricValuesQuestion);
  const checkout = view.answerTo(checkoutQuestion);
  const currency = currencyOf(view);
  const { zone: timezone, dayWord } = view;
  const inMoney = (value: number) => money(toMoneyUnits(value), currency);
  const inCents = (value: number) => inMoney(Math.round(value * 100) / 100);
  // A configuration may have taken any of these metrics away. Its cell is left out then.
  const has = (name: string) => name in metrics;
  const of = (name: string) => metrics[name] ?? null;

  // The minute in progress has too few orders to speak of.
  const minute = bucketStart(view.asOf, MINUTE_MS) - MINUTE_MS;
  const checkoutNow = checkout?.get(minute) ?? null;

  return (
    <section class="cells" aria-label="Today in money and shares">
      {of('refunds') !== null && of('refunds') !== 0 && (
        <>
          {has('net_revenue') && (
            <Cell
              id="netRevenue"
              name="Net revenue"
              window={`${dayWord}, less refunds`}
              value={of('net_revenue')}
              text={inMoney}
            />
          )}
          <Cell id="refunds" name="Refunds" window={dayWord} value={of('refunds')} text={inMoney} />
        </>
      )}
      {has('average_order_value') && (
        <Cell
          id="averageOrder"
          name="Average order"
          window={`${dayWord}, revenue by purchases${leftOutText(leftOut.average_order_value)}`}
          value={of('average_order_value')}
          text={inCents}
          isHidden={isHidden(view.state, 'average_order_value')}
        />
      )}
      {has('conversion') && (
        <Cell
          id="conversion"
          name="Conversion"
          window={`${dayWord}, purchases by visits`}
          value={of('conversion')}
          text={percent}
        />
      )}
      {has('checkout_error_rate') && (
        <Cell
          id="checkoutErrorRate"
          name="Checkout error rate"
          window={
            checkoutNow === null ? dayWord : `${dayWord}, ${percent(checkoutNow)} at ${clockMinute(minute, timezone)}`
          }
          value={of('checkout_error_rate')}
          text={percent}
          tone="error"
        />
      )}
    </section>
  );
}
