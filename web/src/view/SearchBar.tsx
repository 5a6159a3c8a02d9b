// Looks for text in the transcript, and goes from one place to the next.

import { useEffect, useState } from "preact/hooks";
import { MOST_HITS, placeOf, search, type Hit } from "../text/search";
import type { Line } from "../text/words";

export interface Found {
  /** What was looked for. */
  wanted: string;
  hits: Hit[];
  /** Which of them one is at; a half where it is between two, since what one was at was put right. */
  at: number;
  /** Where one went last. */
  last: Hit | null;
  /** How often one went anywhere. */
  turn: number;
}

export const NOTHING: Found = { wanted: "", hits: [], at: 0, last: null, turn: 0 };

interface Props {
  segments: Line[];
  found: Found;
  change(change: (found: Found) => Found): void;
}

export function SearchBar({ segments, found, change }: Props) {
  const [wanted, setWanted] = useState("");
  useEffect(() => {
    const stop = new AbortController();
    void search(segments, wanted, stop.signal).then((hits) => {
      if (!hits || stop.signal.aborted) return;
      change((old) => (old.wanted === wanted ? kept(old, hits) : gone({ ...old, wanted, hits }, 0)));
    });
    return () => stop.abort();
  }, [segments, wanted, change]);
  const count = found.hits.length;
  const step = (by: 1 | -1) => change((old) => stepped(old, by));
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
        onInput={(event) => setWanted(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key !== "Enter" || !event.shiftKey) return;
          event.preventDefault();
          step(-1);
        }}
      />
      <output aria-live="polite">{wanted.trim() ? said(found) : ""}</output>
      <button type="button" disabled={!count} onClick={() => step(-1)} aria-label="The one before">
        ↑
      </button>
      <button type="submit" disabled={!count} aria-label="The next one">
        ↓
      </button>
    </form>
  );
}

function said({ hits, at }: Found): string {
  if (!hits.length) return "not found";
  const all = `${hits.length}${hits.length === MOST_HITS ? "+" : ""}`;
  return Number.isInteger(at) ? `${at + 1} of ${all}` : `${all} found`;
}

/** Go to a hit. */
function gone(found: Found, at: number): Found {
  return { ...found, at, last: found.hits[at] ?? null, turn: found.turn + 1 };
}

function stepped(found: Found, by: 1 | -1): Found {
  const count = found.hits.length;
  if (!count) return found;
  const next = by > 0 ? Math.floor(found.at) + 1 : Math.ceil(found.at) - 1;
  return gone(found, (next + count) % count);
}

/** The same search in a transcript that was put right: one goes nowhere by that. */
function kept(found: Found, hits: Hit[]): Found {
  return { ...found, hits, at: found.last ? placeOf(found.last, hits) : 0 };
}
