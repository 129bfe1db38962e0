// Access settings: who may send, and who may look. Admins list, make and revoke here what the commands
// `floodmark keys`, `users`, `tokens` and `links` do, and read what `floodmark audit` prints.

import { useEffect, useRef, useState } from 'preact/hooks';
import { numberOrNull, string } from '../../json';
import { readIdentities, refusalWords, type Identity } from '../call';
import type { Visitor } from '../visitor';
import { Audit } from './Audit';
import { Dialog } from './Dialog';
import { KINDS, ROLES, type Kind } from './kinds';
import { MakeForm, type Made } from './MakeForm';

type Lists = Partial<Record<Kind['all'], Identity[]>>;

/** Something that was asked for and has to be confirmed. */
interface Asked {
  kind: Kind;
  it: Identity;
}

export function Settings({ visitor }: { visitor: Visitor }) {
  const [lists, setLists] = useState<Lists | null>(null);
  const [trouble, setTrouble] = useState<string | null>(null);
  const [said, setSaid] = useState('');
  const [made, setMade] = useState<Made | null>(null);
  const [asked, setAsked] = useState<Asked | null>(null);
  const [changes, setChanges] = useState(0);
  const title = useRef<HTMLHeadingElement>(null);

  const load = async () => {
    const reply = await visitor.call('/api/access');
    if (reply.status !== 200) return setTrouble(refusalWords(reply));
    setLists(Object.fromEntries(KINDS.map(({ all }) => [all, readIdentities(reply.body[all])])));
  };
  const change = async (path: string, body: Record<string, unknown>, done: string) => {
    // Cleared here and not by an answer, which may be one to an earlier question.
    setTrouble(null);
    const reply = await visitor.call(path, body);
    if (reply.status === 200) setSaid(done);
    else setTrouble(refusalWords(reply));
    // Also after a refusal: somebody else may have changed it, and a choice shows what is there.
    if (reply.status === 200 || reply.status === 404) await load();
    setChanges((count) => count + 1);
    return reply.status === 200;
  };
  useEffect(() => {
    title.current?.focus();
    void load();
  }, []);

  return (
    <main class="settings" aria-busy={lists === null && trouble === null}>
      <a class="back" href="/">
        Back to the numbers
      </a>
      <h1 ref={title} tabIndex={-1} class="settings-title">
        Access
      </h1>
      <p class="sr-only" role="status">
        {said}
      </p>
      {trouble && (
        <p class="form-error" role="alert">
          {trouble}
        </p>
      )}
      {lists &&
        KINDS.map((kind) => (
          <section key={kind.kind} class="identities" aria-labelledby={`${kind.kind}-title`}>
            <h2 id={`${kind.kind}-title`}>{kind.title}</h2>
            <p class="hint">{kind.what}</p>
            <List
              kind={kind}
              list={lists[kind.all] ?? []}
              onRevoke={(it) => setAsked({ kind, it })}
              onRole={(it, role) => change('/api/access/change', roleOf(it, role), `${it.name} is ${role} now.`)}
            />
            <MakeForm
              kind={kind}
              visitor={visitor}
              onMade={(made) => {
                setTrouble(null);
                setMade(made);
                setChanges((count) => count + 1);
                void load();
              }}
            />
          </section>
        ))}
      {lists && <Audit visitor={visitor} changes={changes} />}
      {asked && (
        <ReallyRevoke
          asked={asked}
          onClose={() => setAsked(null)}
          onYes={async () => {
            const { kind, it } = asked;
            setAsked(null);
            await change('/api/access/revoke', { kind: kind.kind, id: it.id }, `${it.name} is revoked.`);
            title.current?.focus();
          }}
        />
      )}
      {made && <ShownOnce made={made} onClose={() => setMade(null)} />}
    </main>
  );
}

/** What changes the role of a user, and nothing else about it. */
const roleOf = (it: Identity, role: string) => ({
  id: it.id,
  role,
  hideMoney: Array.isArray(it.hidden) && it.hidden.includes('money'),
});

interface ListProps {
  kind: Kind;
  list: Identity[];
  onRevoke(it: Identity): void;
  /** Resolves to whether the role was changed. */
  onRole(it: Identity, role: string): Promise<boolean>;
}

function List({ kind, list, onRevoke, onRole }: ListProps) {
  if (list.length === 0) return <p class="none">None yet.</p>;
  return (
    <ul class="identity-list">
      {list.map((it) => (
        <li key={it.id} class="identity" data-testid={`${kind.kind}-${it.name}`}>
          <div class="identity-words">
            <strong>{it.name}</strong>
            <span>{kind.words(it).filter(Boolean).join(' · ')}</span>
            <span class="hint">{lifeOf(it)}</span>
          </div>
          <div class="identity-actions">
            {kind.kind === 'user' && (
              <select
                aria-label={`Role of ${it.name}`}
                value={string(it.role, '')}
                onChange={async ({ currentTarget }) => {
                  const isChanged = await onRole(it, currentTarget.value);
                  if (!isChanged) currentTarget.value = string(it.role, '');
                }}
              >
                {ROLES.map((role) => (
                  <option key={role} value={role}>
                    {role}
                  </option>
                ))}
              </select>
            )}
            <button type="button" aria-label={`Revoke ${it.name}`} onClick={() => onRevoke(it)}>
              Revoke
            </button>
          </div>
        </li>
      ))}
    </ul>
  );
}

const DAY_FORMAT = new Intl.DateTimeFormat('en', { dateStyle: 'medium' });

function lifeOf(it: Identity): string {
  const [made, end] = [numberOrNull(it.createdAt), numberOrNull(it.expiresAt)];
  const words = made === null ? [] : [`made ${DAY_FORMAT.format(made)} by ${string(it.createdBy, 'somebody')}`];
  if (end !== null) words.push(`${end <= Date.now() ? 'over since' : 'good until'} ${DAY_FORMAT.format(end)}`);
  return words.join(', ');
}

const ENDS_WITH_IT: Record<Kind['kind'], string> = {
  key: 'Who sends with it is refused within two seconds.',
  user: 'Dashboards that are open as this user are closed within two seconds.',
  token: 'Programs that read with it are refused within two seconds.',
  link: 'Dashboards that are open by it are closed within two seconds.',
};

function ReallyRevoke({ asked, onClose, onYes }: { asked: Asked; onClose(): void; onYes(): void }) {
  const { kind, it } = asked;
  return (
    <Dialog title={`Revoke ${it.name}?`} onClose={onClose}>
      <p>
        {ENDS_WITH_IT[kind.kind]}{' '}
        {it.signsInAt
          ? 'The user comes back with the next sign-in there, unless the provider gives no role any more.'
          : 'It does not come back: another one has to be made.'}
      </p>
      <div class="dialog-actions">
        <button type="button" onClick={onClose}>
          Keep it
        </button>
        <button type="button" class="grave" onClick={onYes}>
          Revoke
        </button>
      </div>
    </Dialog>
  );
}

function ShownOnce({ made, onClose }: { made: Made; onClose(): void }) {
  const { kind, name, secret } = made;
  const [isCopied, setCopied] = useState(false);
  const shown = kind.kind === 'link' ? new URL(`/#link=${secret}`, location.href).href : secret;
  const copy = async () => {
    // Without TLS a browser gives no clipboard; the text can be selected all the same.
    await navigator.clipboard?.writeText(shown);
    setCopied(navigator.clipboard !== undefined);
  };
  return (
    <Dialog title={`${name} is there`} onClose={onClose}>
      {secret === '' ? (
        <p>The user signs in with the password that you chose.</p>
      ) : (
        <>
          <p>
            {kind.kind === 'user' ? 'This is the password.' : 'This is it.'} It is shown once: only its hash is kept.
          </p>
          <code class="secret" data-testid="secret" tabIndex={0} aria-label="Secret">
            {shown}
          </code>
        </>
      )}
      <div class="dialog-actions">
        {secret !== '' && (
          <button type="button" onClick={() => void copy()}>
            {isCopied ? 'Copied' : 'Copy'}
          </button>
        )}
        <button type="button" class="main" onClick={onClose}>
          Done
        </button>
      </div>
    </Dialog>
  );
}
