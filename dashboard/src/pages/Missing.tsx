// What stands at an address that is none.

import { Empty, Shell } from './Shell';

export function Missing() {
  return (
    <Shell title="There is no such page">
      <Empty title="Nothing has this address">
        <p>
          The link may be old, or a letter of it got lost. <a href="/">Go to the numbers of now</a>, or choose a page
          above.
        </p>
      </Empty>
    </Shell>
  );
}
