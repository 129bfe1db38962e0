// The way to the other pages. Whoever may not see a page has no link to it.

import { maySee, type Sight } from '../access/call';
import type { Visitor } from '../access/visitor';
import type { View } from '../live';
import { alertsQuestion } from '../questions/alerts';
import { addressOf, type Address, type PageName } from '../router/address';

interface Place {
  path: string;
  name: string;
  pages: readonly PageName[];
  needs?: Sight;
}

const PLACES: readonly Place[] = [
  { path: '/', name: 'Now', pages: ['now'] },
  { path: '/explore', name: 'Explore', pages: ['explore'] },
  { path: '/incidents', name: 'Incidents', pages: ['incidents', 'incident'] },
  { path: '/events', name: 'Events', pages: ['events'], needs: 'events' },
  { path: '/sources', name: 'Sources', pages: ['sources'], needs: 'sources' },
];

interface NavProps {
  view: View;
  visitor: Visitor;
  address: Address;
}

export function Nav({ view, visitor, address }: NavProps) {
  const firing = view.peek(alertsQuestion).firing.length;
  return (
    <nav class="nav" aria-label="Pages">
      {PLACES.filter(({ needs }) => !needs || maySee(visitor.who, needs)).map(({ path, name, pages }) => (
        <a
          key={path}
          href={addressOf(path, address.query)}
          aria-current={pages.includes(address.page) ? 'page' : undefined}
        >
          {name}
          {path === '/incidents' && firing > 0 && (
            <span class="nav-count">
              {firing}
              <span class="sr-only"> firing</span>
            </span>
          )}
        </a>
      ))}
    </nav>
  );
}
