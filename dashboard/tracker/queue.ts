// Events that wait to be sent. Each waits in memory and, where the browser lets it, in an entry of its own in
// localStorage, so that tabs never overwrite each other's. An entry leaves once the server has answered, so
// what a closed page has left behind is sent by the next one.
//
// An event keeps its id over all tries, and the server counts an id once within 15 minutes, of an order within
// four days. An entry says when its event was first handed over without an answer (a page that closes never
// sees one); shortly before those are over it is taken for delivered, since the server would count it again.

import { madeAt } from './ids';
import { address, settings } from './settings';
import { keep, storage } from './storage';

/** Characters of events in one request. In UTF-8 they are below the 64 KiB that a request of a closing page may have. */
const BATCH_CHARACTERS = 20_000;
/** From the first event of a batch until it is sent. */
const BATCH_MS = 500;
/** A request without an answer is given up. */
const PATIENCE_MS = 30_000;
/** The pause after a request that failed; each further one is twice as long, up to the longest. */
const RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 30_000;
/** What another page was busy with so lately is left to it. */
const OTHERS_MS = 3_000;
/** So long after it was handed over without an answer, an event is sent again: shorter than the server's `dedupe.window_s`. */
const AGAIN_MS = 10 * 60_000;
/** The same of orders and refunds, shorter than `dedupe.long_window_s`. */
const ORDER_AGAIN_MS = 3 * 86_400_000;
const ORDER = /^\d+{"type":"(purchase|refund)"/;

const MAX_WAITING = Number(settings.maxQueue) || 500;
const PREFIX = `floodmark:${settings.key ?? ''}:`;

/** An event that waits. */
interface Entry {
  /** The event as JSON. */
  event: string;
  /** When it was first handed over without an answer, in Unix milliseconds; 0 while it was not. */
  handedOver: number;
}

/** What this page has to send, by ids of its own. */
const waiting = new Map<string, Entry>();
/** Those that a request is under way with. */
let underWay: string[] = [];
/** Events that found no room. The next request tells the server, which counts them. */
let lost = 0;
/** Requests that failed since the last that did not. */
export let failures = 0;
let timer: ReturnType<typeof setTimeout> | undefined;

/** Adds an event, as JSON. */
export function add(id: string, event: string): void {
  waiting.set(id, { event, handedOver: 0 });
  note([id], 0);
  dropOldest();
  // While the server fails, the next try is set already.
  timer ??= setTimeout(send, BATCH_MS);
}

/** Sends what waits, and what closed pages have left behind. */
export async function send(): Promise<void> {
  takeOver();
  if (underWay.length) return;
  clearTimeout(timer);
  timer = undefined;
  const [ids, body] = nextBatch();
  if (!ids.length) return;
  underWay = ids;
  const told = lost;
  lost = 0;
  note(ids, Date.now());
  let status = 0;
  let pause = 0;
  try {
    // A text needs no preflight, for which a page that closes would not wait.
    const answer = await fetch(address, {
      method: 'POST',
      body,
      keepalive: body.length < 2 * BATCH_CHARACTERS,
      credentials: 'omit',
      signal: AbortSignal.timeout?.(PATIENCE_MS) ?? null,
    });
    status = answer.status;
    pause = Number(answer.headers.get('Retry-After')) * 1_000 || 0;
  } catch {
    // No answer came, so the status stays 0.
  }
  underWay = [];
  // Any other refusal would be the same the next time.
  if (!status || status === 408 || status === 429 || status >= 500) {
    note(ids, 0);
    lost += told;
    const usual = Math.min(LONGEST_RETRY_MS, RETRY_MS * 2 ** failures++);
    clearTimeout(timer);
    timer = setTimeout(send, Math.max(pause, usual * (0.5 + Math.random() / 2)));
  } else {
    failures = 0;
    ids.forEach(forget);
    void send();
  }
}

/** Hands over to the browser what waits, since the page may end at once. No answer is seen. */
export function sendLast(): void {
  takeOver();
  for (;;) {
    const [ids, body] = nextBatch();
    if (!ids.length || !navigator.sendBeacon(address, body)) return;
    // Where the server did not answer before, this has hardly arrived either.
    note(ids, failures ? 0 : Date.now());
    lost = 0;
    ids.forEach((id) => waiting.delete(id));
  }
}

/** The ids and the text of the next request. */
function nextBatch(): [string[], string] {
  const ids: string[] = [];
  const events: string[] = [];
  let room = BATCH_CHARACTERS;
  for (const [id, { event }] of waiting) {
    if (underWay.includes(id)) continue;
    room -= event.length;
    // An event that is larger than a batch goes alone.
    if (room < 0 && ids.length) break;
    ids.push(id);
    events.push(event);
  }
  return [ids, `{"sentAt":${Date.now()},"lost":${lost},"batch":[${events}]}`];
}

/** Notes when these were handed over (the first time counts), or with 0 that they were not. */
function note(ids: string[], at: number): void {
  for (const id of ids) {
    const entry = waiting.get(id);
    if (!entry) continue;
    entry.handedOver = at && (entry.handedOver || at);
    keep(PREFIX + id, entry.handedOver + entry.event);
  }
}

function forget(id: string): void {
  waiting.delete(id);
  storage?.removeItem(PREFIX + id);
}

function dropOldest(): void {
  const surplus = waiting.size - MAX_WAITING;
  if (surplus <= 0) return;
  lost += surplus;
  [...waiting.keys()].sort().slice(0, surplus).forEach(forget);
}

/** Takes over what closed pages have left behind. */
function takeOver(): void {
  for (const name of Object.keys(storage ?? {}).sort()) {
    const id = name.slice(PREFIX.length);
    if (!name.startsWith(PREFIX) || waiting.has(id)) continue;
    const entry = storage!.getItem(name)!;
    const handedOver = parseInt(entry);
    // A clock may have been set back.
    const age = Math.abs(Date.now() - (handedOver || madeAt(id)));
    if (handedOver && age > (ORDER.test(entry) ? ORDER_AGAIN_MS : AGAIN_MS)) forget(id);
    else if (age > OTHERS_MS) waiting.set(id, { event: entry.slice(entry.indexOf('{')), handedOver });
  }
  dropOldest();
}
