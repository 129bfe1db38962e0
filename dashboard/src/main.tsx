// Entry of the page: starts the live view, and draws it when it changes or time passes.

import { render } from 'preact';
import { call, notInWords, readWho, type Who } from './access/call';
import type { Visitor } from './access/visitor';
import { App } from './components/App';
import { isCurrent, linkWords } from './components/words';
import { count, moneyWhole } from './format';
import { GuestLink } from './guest_link';
import { Live } from './live';
import { TITLES } from './pages/page';
import { wantFocus } from './pages/Shell';
import { frontPage } from './panels';
import { questionsOf, warningsOf } from './panels/panel';
import { alertsQuestion } from './questions/alerts';
import { catalogueQuestion } from './questions/metrics';
import { momentOf, momentText, zoneOf, type Address } from './router/address';
import { change, current, note, onNavigate, resumePlace, startRouter } from './router/router';
import { isHidden, type LiveState } from './stream/state';
import { startTheme } from './theme';
import { splitAddress } from './token';
import './styles.css';

/** How often ages, countdowns and charts move on when no frame asks for a drawing. */
const CLOCK_TICK_MS = 250;

const page = frontPage;

/** What every page asks: what fires, for its title and the way to it, and what there is to show. */
const ALWAYS = [alertsQuestion, catalogueQuestion];
const asked = ({ page: name }: Address) => (name === 'now' ? [...ALWAYS, ...questionsOf(page)] : ALWAYS);

function takeNotIn(): string | null {
  const opened = splitAddress(location.href, 'signin');
  if (!opened) return null;
  history.replaceState(history.state, '', opened.rest);
  return notInWords(opened.token);
}

const root = document.getElementById('app')!;
let drawingAsked = false;

function draw(): void {
  drawingAsked = false;
  const view = live.view();
  learnWho(view.link.kind === 'live');
  render(<App view={view} page={page} visitor={visitor} address={current()} changed={askDrawing} />, root);
}

/** Who the server says one is, which decides what the pages offer. */
let who: Who | null = null;
let isWhoAsked = false;

/** Asks who one is, once for each time that the numbers begin to come in. */
function learnWho(isLive: boolean): void {
  if (!isLive) isWhoAsked = false;
  if (!isLive || isWhoAsked) return;
  isWhoAsked = true;
  void visitor.call('/api/session').then((reply) => {
    if (reply.status !== 200) return;
    who = readWho(reply.body);
    askDrawing();
  });
}

/** At most one drawing a screen frame, and none in a hidden tab, where the state goes on alone. */
function askDrawing(): void {
  if (drawingAsked) return;
  drawingAsked = true;
  requestAnimationFrame(draw);
}

/** Called by a timer and not by `draw`: people read a title while its tab is hidden. */
function drawTitle(): void {
  const view = live.view();
  const { state } = view;
  const sold = (shown: LiveState) =>
    isHidden(shown, 'revenue')
      ? `${count(shown.totals.purchases)} purchases`
      : moneyWhole(shown.totals.revenue, shown.currency);
  const active = state?.activeUsers ?? null;
  const numbers = state && [sold(state), active === null ? '' : `${count(active)} active`].filter(Boolean).join(' · ');
  const warnings = warningsOf(page, view);
  const words = linkWords(view);
  const link = words.isBehind ? 'Behind' : isCurrent(view) ? '' : words.state;
  const parts = [...warnings, link, numbers].filter(Boolean).join(' · ');
  const title = [TITLES[current().page], parts, 'Floodmark'].filter(Boolean).join(' — ');
  if (document.title !== title) document.title = title;
  drawIcon(warnings.length === 0 ? '/favicon.svg' : '/favicon-alert.svg');
}

const icon = document.querySelector<HTMLLinkElement>('link[rel=icon]')!;

function drawIcon(href: string): void {
  // Only when it is another one: a browser loads the icon again at every assignment.
  if (icon.getAttribute('href') !== href) icon.setAttribute('href', href);
}

const guestLink = new GuestLink();
/** The OpenID provider's way back ends at `#signin=CODE` for whom it does not let in. */
const notIn = takeNotIn();

const visitor: Visitor = {
  get who() {
    return who;
  },
  get token() {
    return live.token;
  },
  get refused() {
    return notIn ?? guestLink.refused;
  },
  get linkNeedsPassword() {
    return guestLink.needsPassword;
  },
  async openLink(password) {
    const reply = await guestLink.open(password);
    if (reply?.status === 200) live.start();
    askDrawing();
    return reply ?? { status: 0, body: {}, rows: [], waitS: 0 };
  },
  call: (path, body) => call(path, live.token, body),
  enter(token) {
    who = null;
    isWhoAsked = false;
    live.enter(token);
  },
  async leave(everywhere) {
    await call('/api/logout', live.token, { everywhere });
    live.forgetToken();
    location.assign('/');
  },
};

/** How often a playback writes its moment into the address; browsers refuse more than a few a second. */
const NOTE_EVERY_MS = 1_000;
let notedAt = 0;

/** A playback goes on by itself, and the address with it; at its end there is now. */
function movedOn(moment: number | null): void {
  if (moment === null) return change({ at: null }, true);
  if (Date.now() - notedAt < NOTE_EVERY_MS) return;
  notedAt = Date.now();
  note({ at: momentText(moment) });
}

const live = new Live(askDrawing, movedOn);
const follow = (address: Address) => {
  live.zone = zoneOf(address.query);
  live.ask(asked(address));
  live.show(address.page === 'now' ? momentOf(address.query.get('at')) : null);
};
startTheme();
startRouter();
resumePlace();
follow(current());
onNavigate((address, isNewPage) => {
  if (isNewPage) wantFocus();
  follow(address);
  askDrawing();
});
// A link that is refused leaves the page as it is without one: it asks who one is.
void guestLink.open().then(() => (guestLink.needsPassword ? askDrawing() : live.start()));
draw();
setInterval(() => {
  askDrawing();
  drawTitle();
}, CLOCK_TICK_MS);
