// Finds text without regard to case and accents.

import type { Line } from "./words";

export interface Hit {
  segment: number;
  /** In characters of the segment's text. */
  start: number;
  end: number;
}

export const MOST_HITS = 10_000;
const SLICE = 6; // milliseconds of work between two looks at whether the browser has something else to do

interface Plain {
  letters: string;
  /** Where in the text each letter is; null where they are in the same places. */
  at: number[] | null;
}

const known = new WeakMap<Line, Plain>();

/** The places of `wanted` in all segments, in their order, the first `MOST_HITS`; null where `signal` aborts. */
export async function search(segments: readonly Line[], wanted: string, signal: AbortSignal): Promise<Hit[] | null> {
  const needle = plain(wanted.trim()).letters;
  const hits: Hit[] = [];
  if (!needle) return hits;
  let began = performance.now();
  for (const [index, segment] of segments.entries()) {
    hits.push(...within(segment, index, needle));
    if (hits.length >= MOST_HITS) break;
    if (performance.now() - began > SLICE) {
      await new Promise((resolve) => setTimeout(resolve));
      if (signal.aborted) return null;
      began = performance.now();
    }
  }
  return hits.slice(0, MOST_HITS);
}

function within(segment: Line, index: number, needle: string): Hit[] {
  let found = known.get(segment);
  if (!found) known.set(segment, (found = plain(segment.text)));
  const { letters, at } = found;
  const hits: Hit[] = [];
  for (let from = letters.indexOf(needle); from >= 0; from = letters.indexOf(needle, from + needle.length)) {
    const end = from + needle.length;
    hits.push({ segment: index, start: at ? at[from]! : from, end: at ? at[end]! : end });
  }
  return hits;
}

/** A text without case and accents. */
export function plain(text: string): Plain {
  if (/^[\x20-\x7e]*$/.test(text)) return { letters: text.toLowerCase(), at: null };
  let letters = "";
  const at: number[] = [];
  let place = 0;
  for (const mark of text) {
    const bare = mark.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
    for (let n = 0; n < bare.length; n++) at.push(place);
    letters += bare;
    place += mark.length;
  }
  at.push(text.length);
  return { letters, at };
}
