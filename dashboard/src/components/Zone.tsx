// The time zone of the clocks on the page: the shop's, unless somebody chooses the one they sit in. It stands in
// the address, so that who is sent a link reads the same times.

import { change } from '../router/router';
import type { Address } from '../router/address';

interface ZoneProps {
  /** The shop's zone. */
  business: string;
  /** The zone of the address; null where it has none. */
  chosen: string | null;
  address: Address;
}

export function Zone({ business, chosen, address }: ZoneProps) {
  const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const others = [...new Set([own, 'UTC', chosen ?? business])].filter((zone) => zone !== business);
  if (others.length === 0) return <span class="zone">{business}</span>;
  return (
    <select
      class="zone"
      aria-label="Time zone of the clocks"
      value={chosen ?? business}
      onChange={({ currentTarget }) => change({ zone: currentTarget.value === business ? null : currentTarget.value })}
      key={address.query.get('zone')}
    >
      {[business, ...others].map((zone) => (
        <option key={zone} value={zone}>
          {zone}
        </option>
      ))}
    </select>
  );
}
