// What stands in place of the numbers for whom the server does not know: name and password where there are
// users, the way to the OpenID provider, the password of a link, and the form for a viewer token.

import { useEffect, useState } from 'preact/hooks';
import { TokenForm } from '../components/TokenForm';
import { readWays, refusalWords, type Reply, type Ways } from './call';
import { keepPlace } from '../router/router';
import type { Visitor } from './visitor';

interface SignInProps {
  visitor: Visitor;
  /** A token was sent, and the server did not take it. */
  tokenRefused: boolean;
}

export function SignIn({ visitor, tokenRefused }: SignInProps) {
  const [ways, setWays] = useState<Ways | null>(null);
  useEffect(() => {
    // Without an answer the token is asked for: the form says what is wrong once it is sent.
    void visitor.call('/api/login/ways').then((reply) => setWays(readWays(reply.body)));
  }, []);
  if (!ways) return null;
  const token = <TokenForm refused={tokenRefused} onToken={(token) => visitor.enter(token)} />;
  const notice = visitor.refused && (
    <p class="form-error" role="alert">
      {visitor.refused}
    </p>
  );
  if (!ways.password && !ways.oidc) {
    return (
      <div class="entry">
        {notice}
        {token}
      </div>
    );
  }
  return (
    <div class="entry">
      {notice}
      {ways.oidc && <OpenId label={ways.oidc} visitor={visitor} />}
      {ways.password && <UserForm visitor={visitor} />}
      <details class="other-way" open={tokenRefused}>
        <summary>Use a viewer token instead</summary>
        {token}
      </details>
    </div>
  );
}

/** The way to the OpenID provider. It is tried before the browser goes, so that what is wrong is said here. */
function OpenId({ label, visitor }: { label: string; visitor: Visitor }) {
  const [refusal, setRefusal] = useState<string | null>(null);
  const go = async () => {
    setRefusal(null);
    const path = '/api/login/oidc';
    // A redirect to another site can't be read, and need not be: it says that the provider answers.
    const answer = await fetch(path, { redirect: 'manual', cache: 'no-store' }).catch(() => null);
    if (answer?.type === 'opaqueredirect') {
      keepPlace();
      return location.assign(path);
    }
    setRefusal(refusalWords(await visitor.call(path)));
  };
  return (
    <div class="entry-form">
      {refusal && (
        <p class="form-error" role="alert">
          {refusal}
        </p>
      )}
      <button type="button" onClick={() => void go()}>
        Sign in with {label}
      </button>
    </div>
  );
}

function UserForm({ visitor }: { visitor: Visitor }) {
  const send = async (form: FormData): Promise<Reply> => {
    const reply = await visitor.call('/api/login', {
      user: String(form.get('user')).trim(),
      password: String(form.get('password')),
    });
    if (reply.status === 200) visitor.enter(null);
    return reply;
  };
  return (
    <section class="token" aria-labelledby="sign-in-title">
      <h2 id="sign-in-title">Sign in</h2>
      <p>This dashboard is private.</p>
      <EntryForm action="Sign in" send={send}>
        <label for="user">User</label>
        <input id="user" name="user" autocomplete="username" autocapitalize="none" required autofocus />
        <label for="password">Password</label>
        <input id="password" name="password" type="password" autocomplete="current-password" required />
      </EntryForm>
    </section>
  );
}

/** Asks for the password of the link that the page was opened with. */
export function LinkPassword({ visitor }: { visitor: Visitor }) {
  return (
    <section class="token" aria-labelledby="link-title">
      <h2 id="link-title">Password of this link</h2>
      <p>Whoever gave you the link has the password, too.</p>
      <EntryForm action="Open" send={(form) => visitor.openLink(String(form.get('password')))}>
        <label for="link-password">Password</label>
        <input id="link-password" name="password" type="password" autocomplete="off" required autofocus />
      </EntryForm>
    </section>
  );
}

interface EntryFormProps {
  action: string;
  send(form: FormData): Promise<Reply>;
  children: preact.ComponentChildren;
}

/** A form that says why it was refused, and sends once at a time. */
function EntryForm({ action, send, children }: EntryFormProps) {
  const [refusal, setRefusal] = useState<string | null>(null);
  const [isSending, setSending] = useState(false);
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    if (isSending) return;
    setSending(true);
    setRefusal(null);
    const reply = await send(new FormData(form));
    setSending(false);
    if (reply.status === 200) return;
    setRefusal(refusalWords(reply));
    const password = form.querySelector<HTMLInputElement>('input[type=password]');
    password?.focus();
    password?.select();
  };
  return (
    <form class="entry-form" onSubmit={submit} aria-busy={isSending}>
      {children}
      {refusal && (
        <p class="form-error" role="alert">
          {refusal}
        </p>
      )}
      <button type="submit">{isSending ? 'One moment …' : action}</button>
    </form>
  );
}
