// Who speaks, how long, and by what name. A name is changed in place.

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Speaker } from "../api/types";
import { lasting } from "../text/time";
import { isComposing } from "./composing";
import { colourOf, nameOf } from "./speakers";

interface Props {
  speakers: Speaker[];
  /** False where it is refused. */
  rename(id: string, name: string): Promise<boolean>;
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
  const field = useRef<HTMLInputElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const settled = useRef<string | null>(null); // the draft that was sent or given up: leaving the field does not save it
  const byKey = useRef(false);
  const busy = useRef(false); // on its way to the server: it is neither sent again nor given up
  useLayoutEffect(() => {
    if (draft !== null) field.current!.focus();
    else if (byKey.current && document.activeElement === document.body) button.current!.focus();
    byKey.current = false;
  }, [draft === null]);
  const keep = async () => {
    settled.current = draft;
    const wanted = draft!.trim();
    busy.current = true;
    const kept = wanted === (speaker.name ?? "") || (await rename(speaker.id, wanted));
    busy.current = false;
    if (kept) setDraft((now) => (now === draft ? null : now)); // one may have typed on
  };
  const begin = () => {
    settled.current = null;
    setDraft(speaker.name ?? "");
  };
  return (
    <li class={colourOf(speakers, speaker.id)}>
      {draft === null ? (
        <button type="button" class="name" ref={button} onClick={begin} aria-label={`Rename ${name}`}>
          <span class="dot" aria-hidden="true" />
          <bdi>{name}</bdi>
        </button>
      ) : (
        <input
          class="name"
          dir="auto"
          value={draft}
          maxLength={100}
          placeholder={name}
          aria-label={`Name of ${name}`}
          ref={field}
          onInput={(event) => setDraft(event.currentTarget.value)}
          onBlur={() => {
            if (draft !== settled.current) void keep(); // an input that is taken away may say so too
          }}
          onKeyDown={(event) => {
            if (busy.current || isComposing(event) || (event.key !== "Enter" && event.key !== "Escape")) return;
            byKey.current = true;
            if (event.key === "Enter") return void keep();
            settled.current = draft;
            setDraft(null);
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
