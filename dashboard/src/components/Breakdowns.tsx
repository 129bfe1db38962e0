// The most frequent values of properties: what breaks, what sells, what is read. Each list says its
// window, and how each value moved against the window before.

import { BREAKDOWN_MINUTES, type Breakdown } from '../business/poll';
import { count, lastWindow } from '../format';

const SHOWN = 6;

const KIND_IN_WORDS: Record<string, string> = {
  error: 'Errors',
  purchase: 'Purchases',
  page_view: 'Page views',
  signup: 'Signups',
};

export const titleOf = ({ type, property }: Pick<Breakdown, 'type' | 'property'>): string =>
  `${KIND_IN_WORDS[type] ?? type} by ${property}`;

/** "+12" or "−3" against the window before; "new" for what was not there. */
export function change(now: number, before: number | undefined): string {
  if (before === undefined || before === 0) return 'new';
  const difference = now - before;
  if (difference === 0) return '±0';
  return `${difference > 0 ? '+' : '−'}${count(Math.abs(difference))}`;
}

function List({ breakdown }: { breakdown: Breakdown }) {
  const { type, property, now, before } = breakdown;
  const total = now.reduce((sum, { count: n }) => sum + n, 0);
  const largest = now[0]?.count ?? 1;
  const id = `breakdown-${type}-${property}`;
  return (
    <section class="breakdown" data-tone={type === 'error' ? 'error' : 'plain'} data-testid={id} aria-labelledby={id}>
      <h3 id={id}>{titleOf(breakdown)}</h3>
      {now.length === 0 ? (
        <p class="quiet">none</p>
      ) : (
        <ol>
          {now.slice(0, SHOWN).map(({ value, count: n }) => (
            <li key={value} data-value={value} data-count={n}>
              <span class="breakdown-bar" style={{ width: `${(100 * n) / largest}%` }} aria-hidden="true" />
              <span class="breakdown-value" title={value}>
                {value}
              </span>
              <span class="breakdown-share">{Math.round((100 * n) / total)}%</span>
              <span class="breakdown-count">{count(n)}</span>
              <span class="breakdown-change">{change(n, before.get(value))}</span>
            </li>
          ))}
        </ol>
      )}
    </section>
  );
}

export function Breakdowns({ breakdowns }: { breakdowns: readonly Breakdown[] }) {
  // A shop that never sends a property needs no empty list of it.
  const shown = breakdowns.filter(({ now, before }) => now.length > 0 || before.size > 0);
  if (shown.length === 0) return null;
  const window = lastWindow(BREAKDOWN_MINUTES * 60);
  return (
    <section class="panel" aria-labelledby="breakdowns">
      <h2 id="breakdowns">
        What it is made of{' '}
        <span class="window">
          {window}; change against the {BREAKDOWN_MINUTES} minutes before
        </span>
      </h2>
      <div class="breakdowns">
        {shown.map((breakdown) => (
          <List key={`${breakdown.type}/${breakdown.property}`} breakdown={breakdown} />
        ))}
      </div>
    </section>
  );
}
