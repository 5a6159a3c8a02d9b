// Where in a transcript a moment is, and a moment a word. Ten hours have a hundred thousand words: found by halving.

import type { Segment } from "../api/types";

/** The last of ascending numbers that is not above `value`, -1 where all are. */
export function lastUpTo(numbers: ArrayLike<number>, value: number): number {
  let [low, high] = [0, numbers.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (numbers[middle]! <= value) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

export interface Place {
  segment: number;
  /** -1 before the segment's first word, or where it has none. */
  word: number;
}

/** The starts of all segments, in seconds, ascending. */
export function startsOf(segments: readonly Segment[]): Float64Array {
  let latest = 0;
  return Float64Array.from(segments, ({ start }) => (latest = Math.max(latest, start)));
}

/** The segment and word that are said at a time in seconds; null before the first. */
export function placeAt(segments: readonly Segment[], starts: Float64Array, time: number): Place | null {
  const segment = lastUpTo(starts, time);
  const found = segments[segment];
  if (!found) return null;
  const words = found.words ?? [];
  let word = -1;
  while (word + 1 < words.length && words[word + 1]!.start <= time) word++;
  return { segment, word };
}

/** A word as it stands in its segment's text: `start` and `end` in characters, and what is before it. */
export interface Span {
  before: string;
  word: string;
  start: number;
  end: number;
}

const known = new WeakMap<Segment, Span[]>();

/** The text in words; as one where it does not hold its words in their order, or has none. */
export function spans(segment: Segment): Span[] {
  let found = known.get(segment);
  if (!found) known.set(segment, (found = cut(segment)));
  return found;
}

function cut({ text, words }: Segment): Span[] {
  const parts: Span[] = [];
  let from = 0;
  for (const { word } of words ?? []) {
    const start = text.indexOf(word, from);
    if (start < 0) return [whole(text)];
    const end = start + word.length;
    parts.push({ before: text.slice(from, start), word, start, end });
    from = end;
  }
  return parts.length ? parts : [whole(text)];
}

function whole(text: string): Span {
  return { before: "", word: text, start: 0, end: text.length };
}
