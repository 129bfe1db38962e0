// What arrives, from where and in which format, what of it is refused, what has changed in it, and whether the
// orders are complete.

import { maySee } from '../../access/call';
import { BooksContent } from '../../panels/books/BooksContent';
import type { PageProps } from '../page';
import { NotForYou, Shell } from '../Shell';
import { Arriving } from './Arriving';
import { Drift } from './Drift';
import { Formats } from './Formats';
import { Refused } from './Refused';

export function Sources({ view, visitor, address }: PageProps) {
  if (!maySee(visitor.who, 'sources')) {
    return <NotForYou title="Sources" what="What is known of sources is for those who may see everything." />;
  }
  return (
    <Shell title="Sources" lead="What arrives, from where, and what is wrong with it.">
      <Arriving view={view} />
      <div class="sources">
        {maySee(visitor.who, 'letters') && <Refused view={view} />}
        {maySee(visitor.who, 'events') && <Formats view={view} />}
        <Drift {...{ view, address }} />
        <BooksContent view={view} isAlone />
      </div>
    </Shell>
  );
}
