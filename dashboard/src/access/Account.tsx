// Who one is, in the header: a name that opens into what one can do about it.

import { useEffect, useRef } from 'preact/hooks';
import type { Who } from './call';
import { onNavigate } from '../router/router';
import type { Visitor } from './visitor';

export function Account({ visitor }: { visitor: Visitor }) {
  const { who } = visitor;
  const box = useRef<HTMLDetailsElement>(null);
  useEffect(() => {
    const close = () => box.current?.removeAttribute('open');
    const outside = (event: Event) => {
      if (!box.current?.contains(event.target as Node)) close();
    };
    const escape = (event: KeyboardEvent) => {
      if (event.key !== 'Escape' || !box.current?.open) return;
      close();
      box.current.querySelector('summary')?.focus();
    };
    document.addEventListener('pointerdown', outside);
    document.addEventListener('focusin', outside);
    document.addEventListener('keydown', escape);
    const stop = onNavigate(close);
    return () => {
      document.removeEventListener('pointerdown', outside);
      document.removeEventListener('focusin', outside);
      document.removeEventListener('keydown', escape);
      stop();
    };
  }, []);
  // Where the server asks nobody who they are, there is nothing to say.
  if (!who || who.kind === 'anybody') return null;
  return (
    <details class="account" ref={box} data-testid="account">
      <summary>{shortName(who)}</summary>
      <div class="account-box">
        <p>{inWords(who)}</p>
        {who.scopes.includes('access') && <a href="/settings">Access settings</a>}
        <button type="button" onClick={() => void visitor.leave(false)}>
          {who.kind === 'user' ? 'Sign out' : 'Leave'}
        </button>
        {who.kind === 'user' && (
          <button type="button" onClick={() => void visitor.leave(true)}>
            Sign out everywhere
          </button>
        )}
      </div>
    </details>
  );
}

const shortName = ({ kind, name }: Who): string => (kind === 'link' ? 'Guest' : name || 'Token');

function inWords({ kind, name, role }: Who): string {
  switch (kind) {
    case 'user':
      return `Signed in as ${name} (${role})`;
    case 'link':
      return `Guest, by the link ${name}`;
    case 'token':
      return `By the API token ${name}`;
    default:
      return 'By a token of the configuration';
  }
}
