// What was refused within the last week, by reason: how much, from where, and what it looked like.

import { clockMinute, count, dayShort } from '../../format';
import { isObject, number, objects, string } from '../../json';
import type { View } from '../../live';
import { refusable } from '../../questions/question';
import { useAnswer } from '../../questions/use_answer';

interface Letter {
  timestamp: number;
  message: string;
  dialect: string;
  event: string;
}

interface LetterGroup {
  code: string;
  source: string;
  key: string;
  /** Those that wait to be sent again, and those that were. */
  count: number;
  sent: number;
  last: number;
  samples: readonly Letter[];
}

const parseLetters = (body: unknown): readonly LetterGroup[] =>
  (isObject(body) ? objects(body.groups) : []).map((group) => ({
    code: string(group.code, ''),
    source: string(group.source, ''),
    key: string(group.key, ''),
    count: number(group.count),
    sent: number(group.sent),
    last: number(group.last),
    samples: objects(group.samples).map((sample) => ({
      timestamp: number(sample.timestamp),
      message: string(sample.message, ''),
      dialect: string(sample.dialect, ''),
      event: string(sample.event, ''),
    })),
  }));

const lettersQuestion = refusable({
  path: 'dead-letters',
  parameters: { samples: '1' },
  everyMs: 30_000,
  parse: parseLetters,
});

export function Refused({ view }: { view: View }) {
  const answer = useAnswer(view, lettersQuestion);
  const groups = answer?.kind === 'known' ? answer.value : null;
  return (
    <section class="part" aria-labelledby="refused" aria-busy={answer?.kind === 'waiting'} data-testid="refused">
      <h2 id="refused">
        What is refused <span class="window">last 7 days</span>
      </h2>
      {answer?.kind === 'refused' && <p class="soft">{answer.message}.</p>}
      {groups?.length === 0 && <p class="soft">Nothing: every event that came was taken.</p>}
      {groups?.map((group) => (
        <Group key={`${group.code} ${group.source} ${group.key}`} group={group} zone={view.zone} />
      ))}
      {groups && groups.length > 0 && (
        <p class="soft">
          They are kept, and can be sent again once they are mended: <code>floodmark dead-letters --retry</code>.
        </p>
      )}
    </section>
  );
}

function Group({ group, zone }: { group: LetterGroup; zone: string }) {
  const { code, source, count: waiting, sent, last, samples } = group;
  const [sample] = samples;
  return (
    <details class="refusal" data-testid={`refused-${code}`}>
      <summary>
        <span class="refusal-count">{count(waiting + sent)}</span>
        <span class="refusal-why">
          <b>{sample?.message ?? code}</b>{' '}
          <span class="soft">
            {code}, from <bdi>{source}</bdi>
            {sent > 0 && `, ${count(sent)} sent again since`}
          </span>
        </span>
        <span class="soft">
          the last {dayShort(last, zone)}, {clockMinute(last, zone)}
        </span>
      </summary>
      {sample && (
        <pre tabIndex={0} aria-label="One of them">
          {sample.event}
        </pre>
      )}
    </details>
  );
}
