// The filter of the feed: a type, tests of properties, a text. It stands in the address.

import { useState } from 'preact/hooks';
import { clockSecond, dayShort } from '../../format';
import type { View } from '../../live';
import { change } from '../../router/router';
import { momentOf, type Address } from '../../router/address';
import { Field } from '../Field';
import { readTest, testInWords, type EventFilter } from './filter';

interface FilterFormProps {
  view: View;
  filter: EventFilter;
  address: Address;
}

export function FilterForm({ view, filter }: FilterFormProps) {
  const [isWrong, setWrong] = useState(false);
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    const data = new FormData(form);
    const typed = (name: string) => String(data.get(name) ?? '').trim();
    const test = typed('test') === '' ? null : readTest(typed('test'));
    setWrong(typed('test') !== '' && test === null);
    if (typed('test') !== '' && test === null) return form.querySelector<HTMLInputElement>('[name=test]')?.focus();
    change({ type: typed('type'), text: typed('text'), ...(test && { [`where.${test.property}`]: test.test }) });
  };
  const moment = (text: string | null) => {
    const time = momentOf(text);
    return time === null ? (text ?? '') : `${dayShort(time, view.zone)}, ${clockSecond(time, view.zone)}`;
  };
  return (
    <form class="controls" role="search" aria-label="Filter" onSubmit={submit}>
      <Field label="Type">
        <input name="type" defaultValue={filter.type} placeholder="any" autocapitalize="none" spellcheck={false} />
      </Field>
      <Field label="Property">
        <input
          name="test"
          placeholder="gateway=adyen"
          autocapitalize="none"
          spellcheck={false}
          aria-invalid={isWrong}
          aria-describedby={isWrong ? 'test-wrong' : undefined}
        />
      </Field>
      <Field label="Has the text">
        <input name="text" defaultValue={filter.text} spellcheck={false} />
      </Field>
      <button type="submit" class="button">
        Filter
      </button>
      {isWrong && (
        <p id="test-wrong" class="form-error" role="alert">
          Write a property, a sign and a value: gateway=adyen, amount&gt;=100, coupon!=X1.
        </p>
      )}
      {(filter.where.length > 0 || filter.from) && (
        <ul class="chips" aria-label="Only events with">
          {filter.where.map(({ property, test }) => (
            <Chip
              key={property}
              words={testInWords({ property, test })}
              onRemove={() => change({ [`where.${property}`]: null })}
            />
          ))}
          {filter.from && (
            <Chip
              words={`${moment(filter.from)} – ${filter.to ? moment(filter.to) : 'now'}`}
              onRemove={() => change({ from: null, to: null })}
            />
          )}
        </ul>
      )}
    </form>
  );
}

function Chip({ words, onRemove }: { words: string; onRemove(): void }) {
  return (
    <li class="chip">
      <bdi>{words}</bdi>
      <button type="button" aria-label={`Without ${words}`} onClick={onRemove}>
        ×
      </button>
    </li>
  );
}
