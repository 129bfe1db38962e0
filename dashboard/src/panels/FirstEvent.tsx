// What an empty shop sees instead of empty charts: the one command that makes the first number move.

import { useState } from 'preact/hooks';
import type { Panel } from './panel';

export const firstEvent: Panel = {
  id: 'first-event',
  place: 'board',
  shownIn: 'an empty shop',
  Content: FirstEvent,
};

const command = () =>
  [
    `curl ${location.origin}/v1/events \\`,
    `  -H 'content-type: application/json' \\`,
    `  -d '{"type":"purchase","userId":"me","properties":{"amount":49.9}}'`,
  ].join('\n');

function FirstEvent() {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    // Only a secure origin (https, or this machine) has a clipboard; elsewhere the button is hidden.
    await navigator.clipboard.writeText(command());
    setCopied(true);
  };
  return (
    <section class="first" aria-labelledby="first" data-testid="empty">
      <div>
        <h2 id="first">The water is still</h2>
        <p>
          No event has come in yet. Send an order, and the numbers above move within the second. This page needs no
          reload. A server that has write keys wants one, too: <code>-H 'authorization: Bearer KEY'</code>.
        </p>
      </div>
      <div class="command">
        <pre tabIndex={0}>
          <code>{command()}</code>
        </pre>
        {navigator.clipboard && (
          <button type="button" onClick={() => void copy()}>
            {copied ? 'Copied' : 'Copy'}
          </button>
        )}
      </div>
    </section>
  );
}
