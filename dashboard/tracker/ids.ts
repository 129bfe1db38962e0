// Ids of events and sessions: UUIDs of version 7, which begin with the time, so that a list of them that is
// sorted is in the order of time. The server remembers a UUID in 16 bytes. `crypto.randomUUID` is no help,
// since pages without TLS don't have it.

/** A new id. */
export function newId(): string {
  const time = Date.now().toString(16).padStart(12, '0');
  const random = Array.from(crypto.getRandomValues(new Uint8Array(9)), (byte) => (256 + byte).toString(16).slice(1));
  const rest = random.join('');
  const groups = [time.slice(0, 8), time.slice(8), '7' + rest.slice(0, 3), '8' + rest.slice(3, 6), rest.slice(6)];
  return groups.join('-');
}

/** When an id was made, in Unix milliseconds. */
export const madeAt = (id: string): number => parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
