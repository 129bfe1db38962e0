// One event: what it is, who and what session it is of, and the id that it keeps over all tries.

import { newId } from './ids';
import { add } from './queue';
import { sessionId } from './session';

/** Fields of an event that the page may set itself, as `POST /v1/events` has them. */
export interface Fields {
  id?: string;
  timestamp?: number | string;
  userId?: string;
  sessionId?: string;
}

export type Track = (type: string, properties?: Record<string, unknown>, fields?: Fields) => void;

/** What `window.floodmark` is. */
export interface Tracker {
  track: Track;
  /** `track` with its arguments in an array. A page may call it before the script is there, on an array. */
  push(call: Parameters<Track>): void;
  /** The visitor, once the page knows who that is. */
  userId?: string;
}

export const tracker: Tracker = {
  track(type, properties, fields) {
    try {
      const id = newId();
      const { userId } = tracker;
      const event = { type, timestamp: Date.now(), sessionId: sessionId(), userId, properties, ...fields };
      add(id, JSON.stringify({ ...event, id: fields?.id ?? id }));
    } catch (error) {
      // The page goes on, whatever it has handed over.
      console.warn('floodmark', error);
    }
  },
  push(call) {
    tracker.track(...call);
  },
};
