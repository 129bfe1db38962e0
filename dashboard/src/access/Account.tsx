// Who one is, in the header: a name that opens into what one can do about it.

import { useEffect, useRef, useState } from 'preact/hooks';
import { readWho, type Who } from './call';
import type { Visitor } from './visitor';

interface AccountProps {
  visitor: Visitor;
  /** Whether the numbers come in, so that the server knows who this is. */
  isLive: boolean;
}

export function Account({ visitor, isLive }: AccountProps) {
  const [who, setWho] = useState<Who | null>(null);
  const box = useRef<HTMLDetailsElement>(null);
  useEffect(() => {
    if (!isLive) return;
    void visitor.call('api/session').then((reply) => {
      if (reply.status === 200) setWho(readWho(reply.body));
    });
  }, [isLive]);
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
    addEventListener('hashchange', close);
    return () => {
      document.removeEventListener('pointerdown', outside);
      document.removeEventListener('focusin', outside);
      document.removeEventListener('keydown', escape);
      removeEventListener('hashchange', close);
    };
  }, []);
  // Where the server asks nobody who they are, there is nothing to say.
  if (!who || who.kind === 'anybody') return null;
  return (
    <details class="account" ref={box} data-testid="account">
      <summary>{shortName(who)}</summary>
      <div class="account-box">
        <p>{inWords(who)}</p>
        {who.scopes.includes('access') && <a href="#access">Access settings</a>}
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
