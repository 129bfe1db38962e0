// The form that makes a key, user, token or link.

import { useRef, useState } from 'preact/hooks';
import { string } from '../../json';
import { refusalWords } from '../call';
import type { Visitor } from '../visitor';
import { bodyOf, endsOf, type Field, type Kind } from './kinds';

/** What was made, with its secret; the secret is empty where the user's password was chosen. */
export interface Made {
  kind: Kind;
  name: string;
  secret: string;
}

interface MakeFormProps {
  kind: Kind;
  visitor: Visitor;
  onMade(made: Made): void;
}

export function MakeForm({ kind, visitor, onMade }: MakeFormProps) {
  const [refusal, setRefusal] = useState<string | null>(null);
  const box = useRef<HTMLDetailsElement>(null);
  const isSending = useRef(false);
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    if (isSending.current) return;
    isSending.current = true;
    setRefusal(null);
    const reply = await visitor.call(`/api/access/${kind.all}`, bodyOf(kind, new FormData(form), Date.now()));
    isSending.current = false;
    if (reply.status !== 201) return setRefusal(refusalWords(reply));
    form.reset();
    box.current?.removeAttribute('open');
    onMade({ kind, name: string(reply.body.name, ''), secret: string(reply.body.secret, '') });
  };
  return (
    <details class="make" ref={box}>
      <summary>{kind.add}</summary>
      <form class="entry-form" onSubmit={submit} autocomplete="off">
        {kind.fields.map((field) => (
          <Entry key={field.name} kind={kind} field={field} />
        ))}
        {refusal && (
          <p class="form-error" role="alert">
            {refusal}
          </p>
        )}
        <button type="submit">{kind.add}</button>
      </form>
    </details>
  );
}

function Entry({ kind, field }: { kind: Kind; field: Field }) {
  const { name, label, hint, type, choices = [], required = false } = field;
  const id = `${kind.kind}-${name}`;
  const hintId = hint ? `${id}-hint` : undefined;
  if (type === 'check') {
    return (
      <label class="check">
        <input type="checkbox" name={name} value="yes" /> {label}
      </label>
    );
  }
  if (type === 'choices') {
    return (
      <fieldset class="choices">
        <legend>{label}</legend>
        {choices.map((choice, at) => (
          <label class="check" key={choice}>
            <input type="checkbox" name={name} value={choice} defaultChecked={at === 0} /> {choice}
          </label>
        ))}
      </fieldset>
    );
  }
  if (type === 'choice' || type === 'end') {
    const options = type === 'end' ? endsOf(kind) : choices.map((choice) => [choice, choice] as const);
    return (
      <>
        <label for={id}>{label}</label>
        <select id={id} name={name} defaultValue={type === 'end' && kind.kind === 'link' ? '30' : options[0]![0]}>
          {options.map(([value, words]) => (
            <option key={value} value={value}>
              {words}
            </option>
          ))}
        </select>
      </>
    );
  }
  return (
    <>
      <label for={id}>{label}</label>
      <input
        id={id}
        name={name}
        type={(type === 'list' ? 'text' : type) as 'text'}
        min={type === 'number' ? 1 : undefined}
        autocomplete={type === 'password' ? 'new-password' : 'off'}
        autocapitalize="none"
        spellcheck={false}
        required={required}
        aria-describedby={hintId}
      />
      {hint && (
        <p class="hint" id={hintId}>
          {hint}
        </p>
      )}
    </>
  );
}
