// The live feed of single events, with its filter.

import { useMemo, useState } from 'preact/hooks';
import { clockSecond, count, dayShort } from '../../format';
import type { View } from '../../live';
import { useAnswer } from '../../questions/use_answer';
import { addressOf, type Address } from '../../router/address';
import type { PageProps } from '../page';
import { Empty, Shell } from '../Shell';
import { EventRow } from './EventRow';
import { NO_FEED, feedQuestion, wantsMore, type Feed } from './feed';
import { FilterForm } from './FilterForm';
import { filterParameters, isLive, readFilter } from './filter';
import { keyOf } from './rows';

/** Fewer than this for each one shown is all of them, but for chance. */
const SAMPLED_FROM = 1.5;

export function FeedPart({ view, address }: PageProps) {
  const filter = readFilter(address.query);
  const parameters = filterParameters(address.query);
  const follows = isLive(filter);
  const key = JSON.stringify(parameters);
  const question = useMemo(() => feedQuestion(parameters, follows), [key, follows]);
  /** What stood there when somebody stopped the feed to read it. */
  const [paused, setPaused] = useState<{ key: string; feed: Feed } | null>(null);
  const held = paused?.key === key ? paused.feed : null;
  const feed = useAnswer(view, held ? null : question) ?? held ?? NO_FEED;
  const { rows, refused } = feed;
  return (
    <Shell title="Events" lead="Each event as it was stored, the newest first." isBusy={!feed.isAnswered && !refused}>
      <FilterForm {...{ view, filter, address }} key={key} />
      <div class="feed-head">
        <p role="status" data-testid="feed-says" data-one-in={Math.round(feed.oneIn)}>
          {refused ? '' : says(feed, follows, held !== null, view)}
        </p>
        {follows && feed.isAnswered && (
          <button type="button" class="button" onClick={() => setPaused(held ? null : { key, feed })}>
            {held ? 'Follow again' : 'Pause'}
          </button>
        )}
      </div>
      {refused && (
        <Empty title="The server does not answer this">
          <p>{`${refused.charAt(0).toUpperCase()}${refused.slice(1)}.`}</p>
        </Empty>
      )}
      {feed.isAnswered && rows.length === 0 && !wantsMore(feed) && (
        <Nothing {...{ address, key, follows }} isFiltered={key !== '{}'} />
      )}
      <Rows rows={rows} view={view} address={address} />
    </Shell>
  );
}

/** The rows change with an answer, and the page is drawn more often than that. */
function Rows({ rows, view, address }: { rows: Feed['rows']; view: View; address: Address }) {
  return useMemo(
    () =>
      rows.length === 0 ? null : (
        <ol class="events" aria-label="Events, the newest first" data-testid="feed">
          {rows.map((event) => (
            <EventRow key={keyOf(event)} {...{ event, address }} zone={view.zone} hasVisitor />
          ))}
        </ol>
      ),
    [rows, view.zone, address.query],
  );
}

function says(feed: Feed, follows: boolean, isPaused: boolean, { zone }: View): string {
  const at = feed.searchedTo;
  const back = at === null ? '' : `${dayShort(at, zone)}, ${clockSecond(at, zone)}`;
  if (wantsMore(feed)) return `Looking back: ${count(feed.rows.length)} found up to ${back} …`;
  if (!feed.isAnswered) return 'Looking …';
  const shown = `${count(feed.rows.length)} shown`;
  if (!follows) return feed.next === null ? `All ${count(feed.rows.length)}` : `${shown}, the newest of this span`;
  const sampled =
    feed.oneIn >= SAMPLED_FROM ? `about 1 in ${count(Math.round(feed.oneIn))} shown` : 'all that come are shown';
  return isPaused ? `Paused. ${shown}` : `Live: ${sampled}`;
}

interface NothingProps {
  address: Address;
  isFiltered: boolean;
  follows: boolean;
}

function Nothing({ address, isFiltered, follows }: NothingProps) {
  if (!isFiltered) {
    return (
      <Empty title="No event in the last 7 days">
        <p>
          Send one: <a href={addressOf('/', address.query)}>the front page</a> has a line to paste. It stands here a
          moment later.
        </p>
      </Empty>
    );
  }
  return (
    <Empty title="No event passes this filter">
      <p>
        {follows ? 'One that comes will stand here. ' : ''}
        <a href={addressOf('/events', address.query)}>Show all events</a>.
      </p>
    </Empty>
  );
}
