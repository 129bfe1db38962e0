// The page around its panels: the header, the places where panels stand, and in their stead the form
// by which one signs in, where the server wants to know who one is. Admins find the settings at `#access`.

import { useEffect, useState } from 'preact/hooks';
import { LinkPassword, SignIn } from '../access/SignIn';
import { Settings } from '../access/settings/Settings';
import type { Visitor } from '../access/visitor';
import type { View } from '../live';
import { panelsAt, type Page, type Place } from '../panels/panel';
import { Header, LinkReason } from './Header';
import { isCurrent } from './words';

/** Where the settings are: what follows the `#`. */
const SETTINGS = '#access';

/** What follows the `#` of the address, itself included. */
function useFragment(): string {
  const [fragment, setFragment] = useState(location.hash);
  useEffect(() => {
    const follow = () => setFragment(location.hash);
    addEventListener('hashchange', follow);
    return () => removeEventListener('hashchange', follow);
  }, []);
  return fragment;
}

interface AppProps {
  view: View;
  page: Page;
  visitor: Visitor;
}

export function App({ view, page, visitor }: AppProps) {
  const { link, state } = view;
  const place = useFragment();
  if (visitor.linkNeedsPassword || link.kind === 'unauthorized') {
    return (
      <div class="page">
        <Header view={view} visitor={visitor} />
        <main class="sign-in">
          {visitor.linkNeedsPassword ? (
            <LinkPassword visitor={visitor} />
          ) : (
            <SignIn visitor={visitor} tokenRefused={link.kind === 'unauthorized' && link.refused} />
          )}
        </main>
      </div>
    );
  }
  if (place === SETTINGS) {
    return (
      <div class="page">
        <Header view={view} visitor={visitor} />
        <Settings visitor={visitor} />
      </div>
    );
  }
  const panels = (place: Place) =>
    panelsAt(page, place, view).map(({ id, Content }) => <Content key={id} view={view} page={page} />);
  return (
    <div class="page" data-current={isCurrent(view)} data-busy={state === null}>
      {/* As high as the window: a wall screen shows this much, and nobody scrolls it. */}
      <div class="first-screen">
        <Header view={view} visitor={visitor} />
        <LinkReason view={view} />
        {panels('top')}
        <main class="board" aria-busy={state === null}>
          {panels('board')}
        </main>
      </div>
      <div class="notes">{panels('notes')}</div>
    </div>
  );
}
