// A link that lets a guest look (`floodmark links add`): `#link=LINK`. The page hands it to the server, which
// gives the browser a session in return, in a cookie that no script reads.

import { call, codeOf, refusalWords, type Reply } from './access/call';
import { splitAddress } from './token';

export class GuestLink {
  /** The link has a password, and waits for it. */
  needsPassword = false;
  /** Why it opens nothing. */
  refused: string | null = null;

  /**
   * Opens the link of the address, if there is one. It stays in the address until the server has said yes or
   * no, so that a page without a network, or one that asks for a password, can be loaded again.
   */
  async open(password: string | null = null): Promise<Reply | null> {
    const opened = splitAddress(location.href, 'link');
    if (!opened) return null;
    const reply = await call('/api/login/link', null, { link: opened.token, password });
    this.needsPassword = codeOf(reply) === 'password_needed' || (this.needsPassword && reply.status !== 200);
    // Without an answer, the connection says that there is no server.
    if (reply.status === 0 || this.needsPassword) return reply;
    history.replaceState(history.state, '', opened.rest);
    const isOver = codeOf(reply) === 'wrong_credentials';
    if (isOver) this.refused = 'This link does not open the dashboard any more. Ask for another one.';
    else if (reply.status !== 200) this.refused = refusalWords(reply);
    return reply;
  }
}
