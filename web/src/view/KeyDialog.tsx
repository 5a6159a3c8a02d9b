// Asks for the API key. It stays in this browser and goes nowhere but to this server.

import { useEffect, useRef, useState } from "preact/hooks";
import { cleaned, sendable } from "../state/key";

const UNSENDABLE = "No key has such signs in it. Copy it again, without what stands around it.";

interface Props {
  /** Why it is asked for, where a key was refused. */
  reason: string | null;
  enter(key: string): void;
}

export function KeyDialog({ reason, enter }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [key, setKey] = useState("");
  const [fault, setFault] = useState(reason);
  const show = () => dialog.current?.showModal();
  useEffect(show, []);
  return (
    <dialog
      ref={dialog}
      aria-labelledby="key-title"
      onCancel={(event) => event.preventDefault()}
      onClose={show} // who presses Escape twice is not asked by Chromium whether it may close
    >
      <form
        onSubmit={(event) => {
          event.preventDefault();
          const given = cleaned(key);
          if (given && sendable(given)) enter(given);
          else setFault(UNSENDABLE);
        }}
      >
        <h2 id="key-title">API key</h2>
        <p>
          This server asks for a key. Whoever runs it has it: a first one is in <code>data/api_key</code>. It is kept in
          this browser alone.
        </p>
        {fault && (
          <p class="note bad" role="alert">
            {fault}
          </p>
        )}
        <label>
          Key
          <input
            type="password"
            name="key"
            autocomplete="current-password"
            required
            value={key}
            onInput={(event) => setKey(event.currentTarget.value)}
          />
        </label>
        <p class="buttons">
          <button type="submit" class="main">
            Use it
          </button>
        </p>
      </form>
    </dialog>
  );
}
