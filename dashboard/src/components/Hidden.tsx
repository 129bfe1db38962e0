// What stands in the place of an amount that this viewer may not see. A 0 would be a number, and a wrong one.

export const Hidden = () => (
  <span class="hidden" title="Amounts of money are hidden from you">
    – <span class="hidden-word">hidden</span>
  </span>
);
