// The server wants a viewer token. It is kept in this browser, so a wall screen is asked once.

import { useEffect, useRef } from 'preact/hooks';

/** What was typed last. The form is made anew when the server refuses a token, and a mistyped one is mended. */
let typed = '';

interface TokenFormProps {
  /** A token was sent, and the server did not take it. */
  refused: boolean;
  onToken(token: string): void;
}

export function TokenForm({ refused, onToken }: TokenFormProps) {
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const token = new FormData(event.currentTarget as HTMLFormElement).get('token');
    if (typeof token !== 'string' || token.trim() === '') return;
    typed = token;
    onToken(token.trim());
  };
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => {
    input.current?.focus();
    input.current?.select();
  }, []);
  return (
    <section class="token" aria-labelledby="token-title">
      <h2 id="token-title">Viewer token</h2>
      <p>This dashboard is private. The token stands in the server's configuration, and stays in this browser.</p>
      <form onSubmit={submit}>
        <label for="token">Token</label>
        <div class="token-line">
          <input
            id="token"
            name="token"
            type="password"
            autocomplete="current-password"
            required
            ref={input}
            defaultValue={refused ? typed : ''}
            aria-invalid={refused}
            aria-describedby={refused ? 'token-refused' : undefined}
          />
          <button type="submit">Open</button>
        </div>
        {refused && (
          <p id="token-refused" class="token-refused" role="alert">
            The server did not accept this token.
          </p>
        )}
      </form>
    </section>
  );
}
