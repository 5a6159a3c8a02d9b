// How the transcript came about, and which keys there are.

import { languageName } from "../text/languages";
import type { Read } from "../text/words";
import { KEYS } from "./keyboard";

export function Details({ read }: { read: Read }) {
  const models = Object.entries(read.models).filter(([, model]) => model);
  return (
    <>
      <section class="card" aria-labelledby="details">
        <h2 id="details">Details</h2>
        <dl>
          <dt>Language</dt>
          <dd>{languageName(read.language)}</dd>
          {models.map(([stage, model]) => (
            <>
              <dt key={stage}>{stage}</dt>
              <dd>{model}</dd>
            </>
          ))}
        </dl>
      </section>
      <section class="card keys" aria-labelledby="keys">
        <h2 id="keys">Keys</h2>
        <dl>
          {KEYS.map(([key, meaning]) => (
            <>
              <dt key={key}>
                <kbd>{key}</kbd>
              </dt>
              <dd>{meaning}</dd>
            </>
          ))}
        </dl>
      </section>
    </>
  );
}
