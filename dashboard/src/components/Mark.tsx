// Floodmark's logo: water in a gauge, and above it the line that says how high it stood.

export function Mark() {
  return (
    <svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
      <rect class="mark-gauge" width="32" height="32" rx="8" />
      <path
        class="mark-water"
        d="M0 20c4-3.6 7.5-3.6 11 0s7 3.6 10.5 0 6.5-3.6 10.5 0v4a8 8 0 0 1-8 8H8a8 8 0 0 1-8-8z"
      />
      <path class="mark-line" d="M9 10.5h14" />
    </svg>
  );
}
