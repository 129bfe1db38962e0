// The page around its panels: the header, the places where panels stand, and in their stead the form
// for the viewer token, where the server wants one.

import type { View } from '../live';
import { panelsAt, type Page, type Place } from '../panels/panel';
import { Header } from './Header';
import { TokenForm } from './TokenForm';
import { isCurrent } from './words';

interface AppProps {
  view: View;
  page: Page;
  onToken(token: string): void;
}

export function App({ view, page, onToken }: AppProps) {
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
  const panels = (place: Place) =>
    panelsAt(page, place, view).map(({ id, Content }) => <Content key={id} view={view} page={page} />);
  return (
    <div class="page" data-current={isCurrent(view)} data-busy={state === null}>
      {/* As high as the window: a wall screen shows this much, and nobody scrolls it. */}
      <div class="first-screen">
        <Header view={view} />
        {panels('top')}
        <main class="board" aria-busy={state === null}>
          {panels('board')}
        </main>
      </div>
      <div class="notes">{panels('notes')}</div>
    </div>
  );
}
