// Looks for text in the transcript, and goes from one place to the next.

import { useEffect, useState } from "preact/hooks";
import { MOST_HITS, search, type Hit } from "../text/search";
import type { Line } from "../text/words";

interface Props {
  segments: Line[];
  show(hits: Hit[], hit: Hit | null): void;
}

export function SearchBar({ segments, show }: Props) {
  const [wanted, setWanted] = useState("");
  const [at, setAt] = useState(0);
  const [hits, setHits] = useState<Hit[]>([]);
  useEffect(() => {
    const stop = new AbortController();
    void search(segments, wanted, stop.signal).then((found) => {
      if (found && !stop.signal.aborted) setHits(found);
    });
    return () => stop.abort();
  }, [segments, wanted]);
  const place = hits.length ? at % hits.length : 0;
  useEffect(() => show(hits, hits[place] ?? null), [hits, place]);
  const step = (by: number) => setAt((place + by + hits.length) % Math.max(1, hits.length));
  const said = hits.length ? `${place + 1} of ${hits.length}${hits.length === MOST_HITS ? "+" : ""}` : "not found";
  return (
    <form
      class="search"
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        step(1);
      }}
    >
      <input
        type="search"
        id="search"
        value={wanted}
        placeholder="Search the transcript"
        aria-label="Search the transcript"
        onInput={(event) => {
          setWanted(event.currentTarget.value);
          setAt(0);
        }}
      />
      <output aria-live="polite">{wanted.trim() ? said : ""}</output>
      <button type="button" disabled={!hits.length} onClick={() => step(-1)} aria-label="The one before">
        ↑
      </button>
      <button type="submit" disabled={!hits.length} aria-label="The next one">
        ↓
      </button>
    </form>
  );
}
