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

/** Letters with their marks, which are one where Unicode has one for both. */
const CHARACTER = /\P{M}\p{M}*|\p{M}+/gu;
/** Accents and points, where a word is known without them. In other scripts marks are letters: की is not का. */
const ACCENTS =
  /([\p{Script=Latin}\p{Script=Greek}\p{Script=Cyrillic}\p{Script=Arabic}\p{Script=Hebrew}])\p{M}+/gu;

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

/** Which of the hits one is; a half where it is none of them, between the one before it and the one after. */
export function placeOf({ segment, start }: Hit, hits: readonly Hit[]): number {
  const next = hits.findIndex((hit) => hit.segment > segment || (hit.segment === segment && hit.start >= start));
  if (next < 0) return hits.length - 0.5;
  return hits[next]!.segment === segment && hits[next]!.start === start ? next : next - 0.5;
}

function within(segment: Line, index: number, needle: string): Hit[] {
  let found = known.get(segment);
  if (!found) known.set(segment, (found = plain(segment.text)));
  const { letters, at } = found;
  const hits: Hit[] = [];
  for (let from = letters.indexOf(needle); from >= 0; from = letters.indexOf(needle, from + needle.length)) {
    let end = from + needle.length;
    while (at && at[end] === at[end - 1]) end++; // what is found ends where a character does
    hits.push({ segment: index, start: at ? at[from]! : from, end: at ? at[end]! : end });
  }
  return hits;
}

/** A text without case and accents, with plain apostrophes and spaces. */
function plain(text: string): Plain {
  if (/^[\x20-\x7e]*$/.test(text)) return { letters: text.toLowerCase(), at: null };
  let letters = "";
  const at: number[] = [];
  for (const { 0: character, index } of text.matchAll(CHARACTER)) {
    const bare = character.normalize("NFD").replace(ACCENTS, "$1").normalize("NFC").toLowerCase();
    const same = bare.length === character.length; // each letter is where it was
    for (let n = 0; n < bare.length; n++) at.push(same ? index + n : index);
    letters += bare;
  }
  at.push(text.length);
  return { letters: letters.replace(/[‘’ʼ]/g, "'").replace(/\s/g, " "), at };
}
