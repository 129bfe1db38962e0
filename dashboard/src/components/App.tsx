// The window: the header, and under it the page of the address; in its stead the form by which one signs in, where
// the server wants to know who one is.

import type { Visitor } from '../access/visitor';
import { later } from '../later';
import type { View } from '../live';
import { contentOf, TITLES, tryAgain, type LoadedPage } from '../pages/page';
import { Heading, Waiting } from '../pages/Shell';
import { panelsAt, type Page, type Place } from '../panels/panel';
import type { Address } from '../router/address';
import { Header, LinkReason } from './Header';
import { isCurrent, isSound } from './words';

const waysIn = later(() => import('../access/SignIn'));

interface AppProps {
  view: View;
  /** The panels of the front page. */
  page: Page;
  visitor: Visitor;
  address: Address;
  /** Something that no frame says has changed: draw anew. */
  changed(): void;
}

export function App({ view, page, visitor, address, changed }: AppProps) {
  const { link, state } = view;
  if (visitor.linkNeedsPassword || link.kind === 'unauthorized') {
    const ways = waysIn();
    return (
      <div class="page">
        <Header {...{ view, visitor, address }} isEntry />
        <main class="sign-in">
          {visitor.linkNeedsPassword
            ? ways && <ways.LinkPassword visitor={visitor} />
            : ways && <ways.SignIn visitor={visitor} tokenRefused={link.kind === 'unauthorized' && link.refused} />}
        </main>
      </div>
    );
  }
  if (address.page === 'now') return <Now {...{ view, page, visitor, address }} />;
  return (
    <div class="page" data-current={isCurrent(view)} data-busy={state === null}>
      <Header {...{ view, visitor, address }} />
      <LinkReason view={view} />
      <Loaded {...{ view, visitor, address, changed }} name={address.page} key={`${address.page} ${address.id}`} />
    </div>
  );
}

type NowProps = Omit<AppProps, 'changed'>;

/** The front page: panels at their places. */
function Now({ view, page, visitor, address }: NowProps) {
  const { state } = view;
  const panels = (place: Place) =>
    panelsAt(page, place, view).map(({ id, Content }) => <Content key={id} view={view} page={page} />);
  return (
    <div class="page" data-current={isSound(view)} data-past={view.past !== null} data-busy={state === null}>
      {/* As high as the window: a wall screen shows this much, and nobody scrolls it. */}
      <div class="first-screen">
        <Header {...{ view, visitor, address }} />
        <LinkReason view={view} />
        {panels('top')}
        <main class="board" aria-busy={state === null}>
          <Heading isSilent>Now</Heading>
          {panels('board')}
        </main>
      </div>
      <div class="notes">{panels('notes')}</div>
    </div>
  );
}

type LoadedProps = Omit<AppProps, 'page'> & { name: LoadedPage };

/** A page whose code is loaded when somebody goes there. */
function Loaded({ view, visitor, address, changed, name }: LoadedProps) {
  const Content = contentOf(name, changed);
  if (typeof Content === 'function') return <Content {...{ view, visitor, address }} />;
  const again = () => {
    tryAgain(name);
    changed();
  };
  return <Waiting title={TITLES[name]} hasFailed={Content === 'failed'} onAgain={again} />;
}
