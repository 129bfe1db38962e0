// Whoever looks at this page, as its parts need to know them.

import type { Json } from '../json';
import type { Reply, Who } from './call';

export interface Visitor {
  /** Who the server says one is; null until it has said so. */
  who: Who | null;
  /** The viewer token of this browser, which a link that the browser follows by itself does not carry. */
  token: string | null;
  /** Why a link or the OpenID provider has not let the visitor in; null where nothing is wrong. */
  refused: string | null;
  /** The link that the page was opened with has a password, which is asked for. */
  linkNeedsPassword: boolean;
  /** Opens that link with a password. */
  openLink(password: string): Promise<Reply>;
  /** Asks the server, or posts `body`, as whom this browser is signed in as. */
  call(path: string, body?: Json): Promise<Reply>;
  /** The browser has a session now, or this token. */
  enter(token: string | null): void;
  /** Ends the session and forgets the token. The page is loaded anew, so that no number of before stays in it. */
  leave(everywhere: boolean): Promise<void>;
}
