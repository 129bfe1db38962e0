import type { View } from '../live';
import { isEmpty } from '../stream/state';
import { FiringAlerts, PastAlerts } from './Alerts';
import { Breakdowns } from './Breakdowns';
import { Figures } from './Figures';
import { FirstEvent } from './FirstEvent';
import { Header } from './Header';
import { Hour } from './Hour';
import { Metrics } from './Metrics';
import { Revenue } from './Revenue';
import { TokenForm } from './TokenForm';
import { isCurrent } from './words';

interface AppProps {
  view: View;
  onToken(token: string): void;
  onCompare(): void;
}

export function App({ view, onToken, onCompare }: AppProps) {
  const { link, state, business } = view;
  if (link.kind === 'unauthorized') {
    return (
      <div class="page">
        <Header view={view} />
        <main class="sign-in">
          <TokenForm refused={link.refused} onToken={onToken} />
        </main>
      </div>
    );
  }
  return (
    <div class="page" data-current={isCurrent(view)} data-busy={state === null}>
      <Header view={view} />
      <FiringAlerts view={view} alerts={business.alerts.firing} />
      <main class="board" aria-busy={state === null}>
        <Revenue view={view} />
        <Figures view={view} />
        {state ? isEmpty(state) ? <FirstEvent /> : <Hour view={view} state={state} onCompare={onCompare} /> : <section class="hour" />}
      </main>
      {state && !isEmpty(state) && (
        <div class="below">
          <Metrics business={business} currency={state.currency} />
          <Breakdowns breakdowns={business.breakdowns} />
          <PastAlerts view={view} alerts={business.alerts.history} />
        </div>
      )}
    </div>
  );
}
