// A row for each target: what has come as a bar, a mark for what should have come by now, and where it will end.

import { currencyOf, type View } from '../../live';
import { amountText, endInWords, paceInWords, parsePace, spanWords, type TargetPace } from './pace';

export function Targets({ view, body }: { view: View; body: readonly unknown[] }) {
  const paces = parsePace(body);
  return (
    <section class="note" aria-labelledby="pace" data-testid="pace">
      <h2 id="pace">
        Targets <span class="window">so far</span>
      </h2>
      <ul class="targets">
        {paces.map((pace) => (
          <TargetRow key={pace.name} pace={pace} currency={currencyOf(view)} />
        ))}
      </ul>
    </section>
  );
}

function TargetRow({ pace, currency }: { pace: TargetPace; currency: string }) {
  const { name, title, span, amount, value, should, forecast, unit } = pace;
  // The bar is as long as the farthest of all that it shows.
  const most = Math.max(amount, value, forecast?.high ?? 0);
  const at = (amount: number) => amount / most;
  const how = paceInWords(pace, currency);
  return (
    <li data-testid={`target-${name}`} data-value={value} data-should={should ?? ''}>
      <p class="target-head">
        <b>
          <bdi>{title}</bdi>
        </b>{' '}
        <span class="soft">{spanWords(span)}</span>
        <span class="target-value">
          {amountText(value, unit, currency)} <span class="soft">of {amountText(amount, unit, currency)}</span>
        </span>
      </p>
      <div class="target-bar" aria-hidden="true">
        {forecast && <i class="target-range" style={`--from:${at(forecast.low)};--to:${at(forecast.high)}`} />}
        <i class="target-come" style={`--to:${at(value)}`} />
        {should !== null && <i class="target-mark" style={`--at:${at(should)}`} />}
        <i class="target-end" style={`--at:${at(amount)}`} />
      </div>
      <p class="target-words">
        {how !== '' && <b>{how}. </b>}
        <span class="soft">{endInWords(pace, currency)}</span>
      </p>
    </li>
  );
}
