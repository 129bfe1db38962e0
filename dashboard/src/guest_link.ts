// A link that lets a guest look (`floodmark links add`): `#link=LINK`. The page hands it to the server, which
// gives the browser a session in return, in a cookie that no script reads.

import { splitAddress } from './token';

/** Opens the link of the address, if there is one. It stays in the address until the server has answered, so
 * that a page without a network can be loaded again. */
export async function openGuestLink(): Promise<void> {
  const opened = splitAddress(location.href, 'link');
  if (!opened) return;
  const headers = { 'Content-Type': 'application/json' };
  const body = JSON.stringify({ link: opened.token });
  try {
    await fetch('api/login/link', { method: 'POST', headers, body });
    history.replaceState(history.state, '', opened.rest);
  } catch {
    // The connection says that there is no server.
  }
}
