// The kinds of identities: what the settings call them, what there is to say of one, and what is asked
// for a new one. The forms are drawn from this, so a kind that gets another property gets a line here.

import { numberOrNull, string, type Json } from '../../json';
import type { Identity } from '../call';

export interface Field {
  /** What the server calls it. */
  name: string;
  label: string;
  hint?: string;
  /** `list`: texts with commas between them. `end`: until when it is good. */
  type: 'text' | 'number' | 'password' | 'check' | 'choice' | 'choices' | 'list' | 'end';
  choices?: readonly string[];
  required?: boolean;
}

export interface Kind {
  /** What the server calls one of them. */
  kind: 'key' | 'user' | 'token' | 'link';
  /** What the server calls all of them, in answers and in paths. */
  all: 'keys' | 'users' | 'tokens' | 'links';
  title: string;
  what: string;
  /** What the button says that makes one. */
  add: string;
  /** What there is to say of one, each with words of its own. */
  words(it: Identity): string[];
  fields: readonly Field[];
}

export const ROLES = ['viewer', 'analyst', 'admin'] as const;

const NAME: Field = { name: 'name', label: 'Name', type: 'text', required: true };
const END: Field = { name: 'expiresAt', label: 'Good for', type: 'end' };
const HIDE_MONEY: Field = { name: 'hideMoney', label: 'Hide amounts of money', type: 'check' };

const texts = (value: unknown): string[] => (Array.isArray(value) ? value.map(String) : []);
const named = (what: string, list: unknown): string[] => {
  const all = texts(list);
  return all.length > 0 ? [`${what} ${all.join(', ')}`] : [];
};
const money = (it: Identity): string[] => (texts(it.hidden).includes('money') ? ['sees no money'] : []);

const keys: Kind = {
  kind: 'key',
  all: 'keys',
  title: 'Write keys',
  what: 'A shop’s back end, page or app sends events with one.',
  add: 'Make a write key',
  words: (it) => {
    const rate = numberOrNull(it.eventsPerS);
    return [
      it.public === true ? 'for pages and apps' : 'secret',
      `source ${string(it.source, it.name)}`,
      ...named('ids', it.ids),
      ...named('pages of', it.allowedOrigins),
      ...named('types', it.eventTypes),
      ...(rate === null ? [] : [`${rate} events a second`]),
    ];
  },
  fields: [
    NAME,
    { name: 'source', label: 'Source', hint: 'What its events are said to be from. Empty: the name.', type: 'text' },
    { name: 'public', label: 'It stands in pages or apps, where everybody can read it', type: 'check' },
    {
      name: 'ids',
      label: 'Ids in place of the key',
      hint: 'For pages’ clients that send no key: a domain (Plausible), website (Umami), idsite (Matomo) or app id (Snowplow).',
      type: 'list',
    },
    { name: 'allowedOrigins', label: 'Pages that may send', hint: 'Such as https://shop.example', type: 'list' },
    { name: 'eventTypes', label: 'Types of events', hint: 'Such as page_view, purchase. Empty: all.', type: 'list' },
    { name: 'eventsPerS', label: 'Events a second', hint: 'Empty: as the server’s settings say.', type: 'number' },
    END,
  ],
};

const users: Kind = {
  kind: 'user',
  all: 'users',
  title: 'Users',
  what: 'A person who signs in.',
  add: 'Add a user',
  words: (it) => [
    string(it.role, ''),
    ...money(it),
    ...(it.signsInAt ? [`signs in at ${string(it.signsInAt, '')}`] : []),
  ],
  fields: [
    { ...NAME, hint: 'Such as alice or alice@shop.example' },
    { name: 'role', label: 'Role', type: 'choice', choices: ROLES, required: true },
    { name: 'password', label: 'Password', hint: 'Empty: one is made, and shown once.', type: 'password' },
    HIDE_MONEY,
    END,
  ],
};

const tokens: Kind = {
  kind: 'token',
  all: 'tokens',
  title: 'API tokens',
  what: 'A program reads with one.',
  add: 'Make a token',
  words: (it) => [...named('may read', it.scopes), ...money(it)],
  fields: [
    NAME,
    {
      name: 'scopes',
      label: 'What it is for',
      type: 'choices',
      choices: ['numbers', 'letters', 'events', 'metrics', 'marks', 'access'],
      required: true,
    },
    HIDE_MONEY,
    END,
  ],
};

const links: Kind = {
  kind: 'link',
  all: 'links',
  title: 'Links',
  what: 'A screen or a guest looks at the dashboard with one.',
  add: 'Make a link',
  words: (it) => [it.hasPassword === true ? 'with a password' : 'without a password', ...money(it)],
  fields: [
    { ...NAME, hint: 'Such as office-screen' },
    { name: 'password', label: 'Password', hint: 'Empty: the link alone is enough.', type: 'password' },
    HIDE_MONEY,
    END,
  ],
};

export const KINDS: readonly Kind[] = [keys, users, tokens, links];

const DAY_MS = 86_400_000;

/** Until when something is good, for the choice. An empty value leaves it to the server. */
export const ENDS: readonly [string, string][] = [
  ['', 'as long as nobody revokes it'],
  ['1', 'a day'],
  ['7', 'a week'],
  ['30', '30 days'],
  ['90', '90 days'],
  ['365', 'a year'],
];

/** A link without an end has one all the same. */
export const endsOf = (kind: Kind): readonly [string, string][] =>
  kind.kind === 'link' ? ENDS.filter(([days]) => days !== '') : ENDS;

/** What is sent for a form. What was left empty is left out, so the server's default holds. */
export function bodyOf(kind: Kind, form: FormData, now: number): Json {
  const body: Json = {};
  for (const { name, type } of kind.fields) {
    const text = String(form.get(name) ?? '').trim();
    switch (type) {
      case 'check':
        if (text) body[name] = true;
        break;
      case 'choices':
        body[name] = form.getAll(name).map(String);
        break;
      case 'list': {
        const list = text.split(/[\s,]+/).filter(Boolean);
        if (list.length > 0) body[name] = list;
        break;
      }
      case 'number':
        if (text) body[name] = Number(text);
        break;
      case 'end':
        if (text) body[name] = now + Number(text) * DAY_MS;
        break;
      case 'password': {
        // A password may begin and end with a space.
        const chosen = String(form.get(name) ?? '');
        if (chosen) body[name] = chosen;
        break;
      }
      default:
        if (text) body[name] = text;
    }
  }
  return body;
}
