// Single events as they come in, or those of a span; and what one visitor did, in order.

import { maySee } from '../../access/call';
import type { PageProps } from '../page';
import { NotForYou } from '../Shell';
import { FeedPart } from './FeedPart';
import { PathPart } from './PathPart';

export function Events(props: PageProps) {
  const { visitor, address } = props;
  if (!maySee(visitor.who, 'events')) {
    return <NotForYou title="Events" what="Single events are for analysts who may see everything." />;
  }
  const isPath = address.query.has('session') || address.query.has('user');
  return isPath ? <PathPart {...props} key="path" /> : <FeedPart {...props} key="feed" />;
}
