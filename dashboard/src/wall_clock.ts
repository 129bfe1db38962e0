// What the clock on a wall in some time zone shows, and the moment at which it shows something: what an input for
// date and time needs.

const formats = new Map<string, Intl.DateTimeFormat>();

function formatOf(zone: string): Intl.DateTimeFormat {
  const known = formats.get(zone);
  if (known) return known;
  const digits = { year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit' } as const;
  const make = (timeZone: string) => new Intl.DateTimeFormat('en-CA', { ...digits, hourCycle: 'h23', timeZone });
  let format: Intl.DateTimeFormat;
  try {
    format = make(zone);
  } catch {
    // A zone that this browser has not heard of, as in format.ts.
    format = make('UTC');
  }
  formats.set(zone, format);
  return format;
}

/** "2026-11-27T13:41" */
export function wallClock(time: number, zone: string): string {
  const parts = Object.fromEntries(
    formatOf(zone)
      .formatToParts(time)
      .map(({ type, value }) => [type, value]),
  );
  return `${parts.year}-${parts.month}-${parts.day}T${parts.hour}:${parts.minute}`;
}

const asUtc = (clock: string): number => (clock === '' ? NaN : Date.parse(`${clock}:00Z`));

/**
 * The moment at which the clock shows this; null for what is no date and time. Of two, as when summer time ends,
 * it is the first. What no clock shows, as when summer time begins, is as far behind the hour that is left out.
 */
export function momentAt(clock: string, zone: string): number | null {
  const wanted = asUtc(clock);
  if (Number.isNaN(wanted)) return null;
  const offsetAt = (time: number) => asUtc(wallClock(time, zone)) - Math.floor(time / 60_000) * 60_000;
  // The offsets of a day before and after are the only ones that can be in force.
  const offsets = [offsetAt(wanted - 86_400_000), offsetAt(wanted + 86_400_000)];
  const moments = offsets.map((offset) => wanted - offset);
  const shown = moments.filter((time) => wallClock(time, zone) === clock);
  return shown.length > 0 ? Math.min(...shown) : moments[0]!;
}
