// Who speaks, how long, and by what name. A name is changed in place.

import { useState } from "preact/hooks";
import type { Speaker } from "../api/types";
import { lasting } from "../text/time";
import { colourOf, nameOf } from "./speakers";

interface Props {
  speakers: Speaker[];
  rename(id: string, name: string): Promise<void>;
}

export function Speakers({ speakers, rename }: Props) {
  const all = speakers.reduce((sum, { duration }) => sum + duration, 0);
  if (!speakers.length) return null;
  return (
    <section class="card" aria-labelledby="speakers">
      <h2 id="speakers">Speakers</h2>
      <ul class="speakers">
        {speakers.map((speaker) => (
          <Row key={speaker.id} speakers={speakers} speaker={speaker} share={all ? speaker.duration / all : 0} rename={rename} />
        ))}
      </ul>
      <p class="hint">Click a name to change it.</p>
    </section>
  );
}

function Row({ speakers, speaker, share, rename }: Props & { speaker: Speaker; share: number }) {
  const name = nameOf(speakers, speaker.id);
  const [draft, setDraft] = useState<string | null>(null);
  const keep = async () => {
    const wanted = draft?.trim();
    setDraft(null);
    if (wanted !== undefined && wanted !== (speaker.name ?? "")) await rename(speaker.id, wanted);
  };
  return (
    <li class={colourOf(speakers, speaker.id)}>
      {draft === null ? (
        <button type="button" class="name" onClick={() => setDraft(speaker.name ?? "")} aria-label={`Rename ${name}`}>
          <span class="dot" aria-hidden="true" />
          {name}
        </button>
      ) : (
        <input
          class="name"
          value={draft}
          maxLength={100}
          placeholder={name}
          aria-label={`Name of ${name}`}
          ref={(input) => input?.focus()}
          onInput={(event) => setDraft(event.currentTarget.value)}
          onBlur={() => void keep()}
          onKeyDown={(event) => {
            if (event.key === "Enter") event.currentTarget.blur();
            if (event.key === "Escape") setDraft(null);
          }}
        />
      )}
      <span class="share">
        {lasting(speaker.duration)}, {Math.round(100 * share)} %
      </span>
      <span class="bar" aria-hidden="true">
        <span style={{ width: `${100 * share}%` }} />
      </span>
    </li>
  );
}
