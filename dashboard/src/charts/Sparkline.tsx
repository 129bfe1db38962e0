// A line for a minute, without axes. It shows the direction; the number beside it shows the size.

export interface SparklineProps {
  /** Oldest first. Drawn from the right, so a short history begins in the middle. */
  values: readonly number[];
  /** Values across the whole width. */
  slots: number;
  /** Where the scale begins: at zero, or just under the lowest value for a level that hardly moves. */
  from: 'zero' | 'low';
  tone: 'plain' | 'error';
}

const WIDTH = 120;
const HEIGHT = 32;
/** Half the stroke, so that a line along the edge isn't cut. */
const INSET = 1.5;

export function sparkPath(values: readonly number[], slots: number, from: 'zero' | 'low'): string {
  const shown = values.slice(-slots);
  if (shown.length < 2) return '';
  const high = Math.max(...shown);
  // Nothing happened, and the base line alone says so.
  if (from === 'zero' && high === 0) return '';
  const low = from === 'zero' ? 0 : Math.min(...shown);
  // A level that hardly moves must not be blown up into mountains.
  const span = Math.max(high - low, from === 'zero' ? 1 : high * 0.05, 1e-9);
  const middle = from === 'low' && high - low < span ? (span - (high - low)) / 2 : 0;
  return shown
    .map((value, index) => {
      const x = WIDTH - ((shown.length - 1 - index) * WIDTH) / (slots - 1);
      const y = HEIGHT - INSET - ((value - low + middle) / span) * (HEIGHT - 2 * INSET);
      return `${index === 0 ? 'M' : 'L'}${x.toFixed(1)} ${y.toFixed(1)}`;
    })
    .join('');
}

export function Sparkline({ values, slots, from, tone }: SparklineProps) {
  return (
    <svg class={`spark spark-${tone}`} viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
      <line class="spark-base" x1="0" x2={WIDTH} y1={HEIGHT} y2={HEIGHT} />
      <path d={sparkPath(values, slots, from)} />
    </svg>
  );
}
