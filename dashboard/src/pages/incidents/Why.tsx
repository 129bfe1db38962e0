// What accounts for an incident: what the server found when it fired, or else finds when somebody looks.

import { useMemo } from 'preact/hooks';
import { percentShort } from '../../format';
import { isObject } from '../../json';
import { currencyOf, type View } from '../../live';
import { amount, whatExplains } from '../../questions/alert-words';
import { parseCauses, type Alert, type Cause } from '../../questions/alerts';
import type { Unit } from '../../questions/metrics';
import { refusable } from '../../questions/question';
import { useAnswer } from '../../questions/use_answer';
import { badStretch } from './story';

export interface Explained {
  causes: readonly Cause[];
  /** Everything has changed alike. */
  isGeneral: boolean;
}

const parseExplained = (body: unknown): Explained =>
  isObject(body)
    ? { causes: parseCauses(body.causes), isGeneral: body.general === true }
    : { causes: [], isGeneral: false };

/** A search takes the server some effort, so a page that stays open asks for it rarely. */
const EXPLAIN_EVERY_MS = 600_000;

/**
 * The causes, which the alert has or which are asked for: of the span in which it was bad, or of the last minutes
 * where it fires. Null while they are looked for.
 */
export function useCauses(view: View, alert: Alert, isMetric: boolean): Explained | null {
  const isAsked = alert.causes.length === 0 && isMetric && !alert.isHidden;
  const { from, to } = badStretch(alert, alert.since);
  const question = useMemo(() => {
    const parameters = { metric: alert.metric, from: String(from), to: String(to) };
    return isAsked
      ? refusable({ path: 'explain', parameters, everyMs: EXPLAIN_EVERY_MS, parse: parseExplained })
      : null;
  }, [alert.metric, from, to, isAsked]);
  const answer = useAnswer(view, question);
  if (!isAsked) return { causes: alert.causes, isGeneral: false };
  if (answer?.kind === 'known') return answer.value;
  return answer?.kind === 'refused' ? { causes: [], isGeneral: false } : null;
}

/** Of what is no metric, as where a property has vanished, the title has said it all. */
const ABOUT_A_SOURCE = (
  <p>
    This is about what a source sends. <a href="/sources">Sources</a> has what arrives, and what of it has changed.
  </p>
);

interface WhyProps {
  view: View;
  isMetric: boolean;
  alert: Alert;
  unit: Unit | null;
  causes: Explained | null;
}

export function Why({ view, isMetric, alert, unit, causes }: WhyProps) {
  const text = (value: number) => amount(value, unit, currencyOf(view));
  const explained = whatExplains(alert);
  return (
    <section class="part" aria-labelledby="why" aria-busy={causes === null} data-testid="why">
      <h2 id="why">Why</h2>
      {causes?.causes.map((cause) => (
        <div class="cause" key={cause.conditions.join()}>
          <p class="cause-name">
            <bdi>{cause.conditions.join(' with ')}</bdi>
          </p>
          <p>
            {text(cause.value)}, before {text(cause.was)}. <b>{percentShort(cause.share)} of the change.</b>
          </p>
          <span class="cause-bar" aria-hidden="true">
            <span style={`--length:${Math.max(0, Math.min(1, cause.share))}`} />
          </span>
        </div>
      ))}
      {causes?.causes.length === 0 && explained && <p>{explained}</p>}
      {causes?.isGeneral && <p>It is alike everywhere: no part of the shop stands out.</p>}
      {!isMetric && !alert.isHidden && ABOUT_A_SOURCE}
      {(isMetric || alert.isHidden) && causes?.causes.length === 0 && !causes.isGeneral && !explained && (
        <p class="soft">
          {alert.isHidden
            ? 'What accounts for it is hidden from you, since it is about money.'
            : 'No property of the events accounts for it beyond chance.'}
        </p>
      )}
    </section>
  );
}
