// The time machine: a scrubber over the day. Whoever drags it, or goes along it by key, sees every figure of the
// page as it was at that moment; from there the past plays on, and one key leads back to now.

import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { clockMinute, clockSecond, dayShort } from '../../format';
import type { View } from '../../live';
import { alertsQuestion } from '../../questions/alerts';
import { parsePoints, type PointsByTime } from '../../questions/baseline';
import { catalogueQuestion, unitIn } from '../../questions/metrics';
import { refusable } from '../../questions/question';
import { useAnswer } from '../../questions/use_answer';
import { hrefAt, momentText } from '../../router/address';
import { current } from '../../router/router';
import { FOLLOW_EVERY_MS, toLive, travel } from '../../router/travel';
import { momentAt, wallClock } from '../../wall_clock';
import type { PanelProps } from '../panel';
import { curvePath, DAY_MS, sameTimeDayBefore, keyMoves, SPEEDS } from './moves';

export function Scrubber({ view }: PanelProps) {
  const { state, past, now, zone, business } = view;
  /** Where the hand is, while somebody drags; the same for the timer that follows it. */
  const [held, setHeld] = useState<number | null>(null);
  const hand = useRef<number | null>(null);
  const follow = useRef<ReturnType<typeof setTimeout> | null>(null);
  // It must not write into the address of another page.
  useEffect(() => () => clearTimeout(follow.current ?? undefined), []);

  useEffect(() => {
    if (!past) return;
    const escape = (event: KeyboardEvent) => {
      const isElsewhere = event.target instanceof Element && event.target.closest('dialog, details[open], select');
      if (event.key === 'Escape' && !event.defaultPrevented && !isElsewhere) toLive();
    };
    document.addEventListener('keydown', escape);
    return () => document.removeEventListener('keydown', escape);
  }, [past === null]);

  const moment = held ?? past?.moment ?? now;
  // The day of the shop in which the moment is. It is the page's own, which is right once the state is there.
  const start = dayStart(moment, business);
  const end = dayStart(start + DAY_MS * 1.5, business);
  if (!state && !past) return <section class="time" aria-hidden="true" />;

  const drag = (to: number) => {
    setHeld((hand.current = to));
    if (follow.current !== null) return;
    follow.current = setTimeout(() => {
      follow.current = null;
      if (hand.current !== null) travel(hand.current, now);
    }, FOLLOW_EVERY_MS);
  };
  const drop = (to: number) => {
    if (follow.current !== null) clearTimeout(follow.current);
    follow.current = null;
    setHeld((hand.current = null));
    travel(to, now);
  };
  const press = (event: KeyboardEvent) => {
    const by = keyMoves(event.key, event.shiftKey);
    if (by === null) return;
    event.preventDefault();
    // A key that is held down moves as a drag does: a browser takes only some changes of the address a second.
    drag(Math.min(now, by === 'start' ? start : by === 'now' ? now : moment + by));
  };
  const release = () => {
    if (held !== null) drop(held);
  };

  return (
    <section class="time" data-past={past !== null} aria-label="Time machine" data-testid="time-machine">
      <div class="time-track">
        <Curve {...{ view, start, end }} />
        <Ticks {...{ view, start, end }} />
        <input
          type="range"
          min={start}
          max={end - 1000}
          step={1000}
          value={moment}
          aria-label="Moment of the day"
          aria-valuetext={past ? `${clockSecond(moment, zone)}, not live` : `${clockSecond(moment, zone)}, live`}
          data-testid="scrubber"
          onInput={({ currentTarget }) => drag(Math.min(now, Number(currentTarget.value)))}
          onChange={({ currentTarget }) => drop(Math.min(now, Number(currentTarget.value)))}
          onKeyDown={press}
          onKeyUp={release}
          onBlur={release}
        />
      </div>
      {past ? (
        <Controls {...{ view, moment, now }} onMove={(to) => travel(Math.min(to, now), now)} />
      ) : (
        <p class="time-hint">
          <span class="time-hint-words">{clockMinute(start, zone)} to now. Drag to see the page as it was</span>
          <button type="button" class="time-button" onClick={() => travel(sameTimeDayBefore(now, business), now)}>
            This time yesterday
          </button>
        </p>
      )}
    </section>
  );
}

/** The beginning of the shop's day in which a moment is. */
function dayStart(moment: number, business: string): number {
  return momentAt(`${wallClock(moment, business).slice(0, 10)}T00:00`, business) ?? moment;
}

interface StretchProps {
  view: View;
  start: number;
  end: number;
}

/** How the day went, as a shadow behind the scrubber: orders, or page views where there are none. */
function Curve({ view, start, end }: StretchProps) {
  const isMetric = unitIn(view.answerTo(catalogueQuestion));
  const metric = ['purchases', 'page_views', 'events'].find((name) => isMetric(name) !== null) ?? null;
  const question = useMemo(() => {
    const parameters = { metric: metric ?? '', interval: '5m', from: String(start), to: String(end) };
    return metric === null
      ? null
      : refusable({ path: 'timeseries', parameters, everyMs: 60_000, parse: (body) => parsePoints(body) });
  }, [metric, start, end]);
  const answer = useAnswer(view, question);
  const points: PointsByTime | null = answer?.kind === 'known' ? answer.value : null;
  const path = useMemo(() => curvePath(points, start, end), [points, start, end]);
  return (
    <svg class="time-curve" viewBox="0 0 1000 100" preserveAspectRatio="none" aria-hidden="true">
      <path d={path} />
    </svg>
  );
}

/** The alerts of the day, each where it fired: a way to that moment. */
function Ticks({ view, start, end }: StretchProps) {
  const { firing, history } = view.answerTo(alertsQuestion);
  const inside = [...firing, ...history].filter(({ since }) => since >= start && since < end);
  return (
    <>
      {inside.map(({ id, title, since, severity }) => (
        <a
          key={id}
          class="time-tick"
          data-severity={severity}
          href={hrefAt(since, current().query)}
          style={`--at:${(since - start) / (end - start)}`}
          title={`${title}, ${clockMinute(since, view.zone)}`}
        >
          <span class="sr-only">{`${title}, ${clockMinute(since, view.zone)}`}</span>
        </a>
      ))}
    </>
  );
}

interface ControlsProps {
  view: View;
  moment: number;
  now: number;
  onMove(to: number): void;
}

function Controls({ view, moment, now, onMove }: ControlsProps) {
  const { past, play, zone, business } = view;
  const speed = past?.speed ?? 0;
  return (
    <div class="time-controls">
      <p class="time-moment" data-testid="moment" data-there={past?.isThere} data-time={momentText(moment)}>
        <b>
          {dayShort(moment, zone)}, {clockSecond(moment, zone)}
        </b>{' '}
        <span>not live</span>
      </p>
      <div class="time-play" role="group" aria-label="Play">
        <button type="button" class="time-button" aria-pressed={speed === 0} onClick={() => play(0)}>
          Pause
        </button>
        {SPEEDS.map((one) => (
          <button
            key={one}
            type="button"
            class="time-button"
            aria-pressed={speed === one}
            aria-label={`Play at ${one} times the speed`}
            onClick={() => play(one)}
          >
            ▶ {one}×
          </button>
        ))}
      </div>
      <button type="button" class="time-button" onClick={() => onMove(sameTimeDayBefore(moment, business))}>
        A day back
      </button>
      <button
        type="button"
        class="time-button time-live"
        onClick={toLive}
        title={`Now it is ${clockSecond(now, zone)}`}
      >
        Back to live <kbd>Esc</kbd>
      </button>
    </div>
  );
}
