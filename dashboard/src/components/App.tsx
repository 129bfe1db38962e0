import type { View } from '../live';
import type { Baseline } from '../questions/baseline';
import { isEmpty } from '../stream/state';
import { AlertBanner } from './AlertBanner';
import { AlertHistory } from './AlertHistory';
import { Breakdowns } from './Breakdowns';
import { Figures } from './Figures';
import { FirstEvent } from './FirstEvent';
import { Header } from './Header';
import { Hour } from './Hour';
import { More } from './More';
import { Revenue } from './Revenue';
import { Today } from './Today';
import { TokenForm } from './TokenForm';
import { isCurrent } from './words';

interface AppProps {
  view: View;
  onToken(token: string): void;
  onBaseline(baseline: Baseline): void;
}

export function App({ view, onToken, onBaseline }: AppProps) {
  const { link, state } = view;
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
      {/* As high as the window: what a wall screen, which nobody scrolls, has to show. */}
      <div class="first-screen">
        <Header view={view} />
        <AlertBanner view={view} />
        <main class="board" aria-busy={state === null}>
          <Revenue view={view} />
          <Figures view={view} />
          {state && isEmpty(state) ? (
            <FirstEvent />
          ) : (
            <>
              <Today view={view} />
              {state ? <Hour view={view} state={state} onBaseline={onBaseline} /> : <section class="hour" />}
              <Breakdowns view={view} />
            </>
          )}
        </main>
      </div>
      <div class="notes">
        <AlertHistory view={view} />
        {state && !isEmpty(state) && <More view={view} />}
      </div>
    </div>
  );
}
