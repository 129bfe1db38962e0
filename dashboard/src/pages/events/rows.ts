// Single events as the server lists them, and what of them is told in a line.

import { isObject, number, numberOrNull, objects, string, type Json } from '../../json';

export interface SingleEvent {
  timestamp: number;
  receivedAt: number;
  id: string;
  type: string;
  userId: string;
  sessionId: string;
  source: string;
  dialect: string;
  properties: Json;
}

export interface EventPage {
  events: readonly SingleEvent[];
  /** Where to go on; null where there are no more. */
  next: string | null;
  /** Up to which moment the server has looked. */
  searchedTo: number | null;
}

export function parseEvents(body: unknown): EventPage {
  if (!isObject(body)) return { events: [], next: null, searchedTo: null };
  const events = objects(body.events).map((entry) => ({
    timestamp: number(entry.timestamp),
    receivedAt: number(entry.receivedAt),
    id: string(entry.id, ''),
    type: string(entry.type, ''),
    userId: string(entry.userId, ''),
    sessionId: string(entry.sessionId, ''),
    source: string(entry.source, ''),
    dialect: string(entry.dialect, ''),
    properties: isObject(entry.properties) ? entry.properties : {},
  }));
  return {
    events,
    next: typeof body.next === 'string' ? body.next : null,
    searchedTo: numberOrNull(body.searchedTo),
  };
}

/** By what an event is known from all others. */
export const keyOf = ({ timestamp, receivedAt, type, id }: SingleEvent): string =>
  `${timestamp} ${receivedAt} ${type} ${id}`;

/** Whom the event is of, as a list names it; empty where nobody is known. */
export const visitorOf = ({ userId, sessionId }: SingleEvent): string => sessionId || userId;

/** What is looked through around an event for the path of its visitor: quickly found, and mostly all of it. */
const AROUND_MS = 3_600_000;

/** The address of the path of an event's visitor, as its query. */
export function pathQuery({ timestamp, sessionId, userId }: SingleEvent): Record<string, string> {
  const who: Record<string, string> = sessionId ? { session: sessionId } : { user: userId };
  return { ...who, from: String(timestamp - AROUND_MS), to: String(timestamp + AROUND_MS) };
}

/** Properties that say most of an event, in this order; the others follow as they come. */
const FIRST = ['amount', 'currency', 'path', 'code', 'message', 'name', 'product', 'gateway', 'referrer'];

/** Values of a line are cut to so many letters: the whole event is one click away. */
const LONGEST = 60;
const MOST = 4;

const inWords = (value: unknown): string => {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
};

/** "19.99 USD, /checkout": what an event is about, in a line. */
export function gistOf({ properties }: SingleEvent): readonly { name: string; text: string }[] {
  const rank = (name: string) => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);
  return Object.entries(properties)
    .filter(([name, value]) => value !== null && value !== '' && !name.startsWith('$'))
    .sort(([a], [b]) => rank(a) - rank(b))
    .slice(0, MOST)
    .map(([name, value]) => ({ name, text: inWords(value) }));
}
