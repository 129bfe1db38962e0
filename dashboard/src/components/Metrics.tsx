// Today's metrics that have no card of their own, the configured ones included.

import type { Business } from '../business/poll';
import { metricText, nameInWords } from '../business/words';

/** Shown above already. */
const WITH_A_CARD = new Set(['events', 'page_views', 'purchases', 'revenue', 'errors', 'error_rate']);

export function Metrics({ business, currency }: { business: Business; currency: string }) {
  const { catalogue, metrics } = business;
  const hasRefunds = (metrics.refunds ?? 0) !== 0;
  const shown = catalogue.metrics.filter(
    ({ name }) => !WITH_A_CARD.has(name) && (hasRefunds || (name !== 'refunds' && name !== 'net_revenue')),
  );
  if (shown.length === 0) return null;
  return (
    <section class="panel" aria-labelledby="metrics">
      <h2 id="metrics">
        More <span class="window">today</span>
      </h2>
      <dl class="metrics">
        {shown.map(({ name, unit }) => (
          <div key={name} data-testid={`metric-${name}`} data-value={metrics[name] ?? ''}>
            <dt>{nameInWords(name)}</dt>
            <dd>{metricText(metrics[name], unit, currency)}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}
