import type { View } from '../live';
import { isEmpty } from '../stream/state';
import { Figures } from './Figures';
import { FirstEvent } from './FirstEvent';
import { Header } from './Header';
import { Hour } from './Hour';
import { Revenue } from './Revenue';
import { TokenForm } from './TokenForm';
import { isCurrent } from './words';

interface AppProps {
  view: View;
  onToken(token: string): void;
}

export function App({ view, onToken }: AppProps) {
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
      <Header view={view} />
      <main class="board" aria-busy={state === null}>
        <Revenue view={view} />
        <Figures view={view} />
        {state ? isEmpty(state) ? <FirstEvent /> : <Hour view={view} state={state} /> : <section class="hour" />}
      </main>
    </div>
  );
}
