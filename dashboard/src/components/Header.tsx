import { useState } from 'preact/hooks';
import { Account } from '../access/Account';
import type { Visitor } from '../access/visitor';
import { dayInWords } from '../format';
import type { View } from '../live';
import { chooseTheme, themeChoice, type ThemeChoice } from '../theme';
import { zoneOf, type Address } from '../router/address';
import { Mark } from './Mark';
import { Nav } from './Nav';
import { linkWords } from './words';
import { Zone } from './Zone';

interface HeaderProps {
  view: View;
  visitor: Visitor;
  address: Address;
  /** Before one is let in there is nothing to go to, and the name is the heading. */
  isEntry?: boolean;
}

export function Header({ view, visitor, address, isEntry = false }: HeaderProps) {
  const { state } = view;
  return (
    <header class="top">
      <div class="brand">
        <Mark />
        {isEntry ? <h1>Floodmark</h1> : <span class="brand-name">Floodmark</span>}
      </div>
      {!isEntry && <Nav {...{ view, visitor, address }} />}
      {state && (
        <div class="day">
          <time dateTime={state.day}>{dayInWords(state.day)}</time>
          <Zone business={state.timezone} chosen={zoneOf(address.query)} address={address} />
        </div>
      )}
      <ConnectionPill view={view} />
      <Account visitor={visitor} />
      <ThemeButton />
    </header>
  );
}

function ConnectionPill({ view }: { view: View }) {
  const words = linkWords(view);
  const { kind } = view.link;
  return (
    <div class="pill" data-testid="connection" data-state={view.past ? 'past' : kind} data-behind={words.isBehind}>
      <span class="dot" aria-hidden="true" />
      <span role="status" aria-live="polite">
        {words.state}
      </span>
      {words.detail && <span class="pill-detail">{words.detail}</span>}
      {kind === 'reconnecting' && !view.past && (
        <button type="button" class="retry" onClick={view.retryNow}>
          Retry now
        </button>
      )}
    </div>
  );
}

/** What may be wrong with the connection, below the header. */
export function LinkReason({ view }: { view: View }) {
  const { reason } = linkWords(view);
  return (
    <p class="link-reason" role="status" data-testid="link-reason">
      {reason}
    </p>
  );
}

const NEXT: Record<ThemeChoice, ThemeChoice> = { system: 'light', light: 'dark', dark: 'system' };
const ICON: Record<ThemeChoice, string> = {
  system: 'M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM8 4.5v7a3.5 3.5 0 0 0 0-7z',
  light:
    'M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6zM8 .8v1.6M8 13.600v1.600M.8 8h1.600M13.6 8h1.600M2.9 2.9 4 4M12 12l1.1 1.100M13.1 2.9 12 4M4 12l-1.1 1.1',
  dark: 'M13.6 9.800A6 6 0 0 1 6.2 2.400a6 6 0 1 0 7.4 7.400z',
};

function ThemeButton() {
  const [choice, setChoice] = useState(themeChoice);
  const turn = () => {
    chooseTheme(NEXT[choice]);
    setChoice(NEXT[choice]);
  };
  const label = `Theme: ${choice}. Change to ${NEXT[choice]}`;
  return (
    <button type="button" class="theme" onClick={turn} aria-label={label} title={label} data-choice={choice}>
      <svg viewBox="0 0 16 16" aria-hidden="true">
        <path d={ICON[choice]} />
      </svg>
    </button>
  );
}
