// Where in a transcript a moment is, and what is heard at a place in its text.
//
// Ten hours have a hundred thousand words. As objects they would keep the garbage collector busy while one scrolls, so
// they are columns of numbers here, and found by halving.

import type { Segment, Transcript } from "../api/types";

/** The words of all segments in their order; those of segment n are `first[n]` to `first[n + 1] - 1`. */
export interface Words {
  first: Uint32Array;
  /** Seconds. */
  starts: Float64Array;
  /** The starts of all, ascending: where people speak at once, their segments' words are not so. */
  inTime: Float64Array;
  /** Where they are in their segment's text, in characters. */
  from: Uint32Array;
  to: Uint32Array;
}

export type Line = Omit<Segment, "words">;

/** From when on which segment is the one that is said, ascending in seconds. */
export interface Turns {
  from: number[];
  segment: number[];
}

/** A transcript to be read: its segments are text, and its words are beside them. */
export interface Read extends Omit<Transcript, "segments"> {
  segments: Line[];
  /** When each segment begins, in seconds, ascending. */
  starts: Float64Array;
  turns: Turns;
  words: Words;
}

export function toRead(transcript: Transcript): Read {
  const found = transcript.segments.map((segment) => placesOf(segment));
  const count = found.reduce((sum, places) => sum + places.length, 0);
  const words = {
    first: new Uint32Array(found.length + 1),
    starts: new Float64Array(count),
    inTime: new Float64Array(),
    from: new Uint32Array(count),
    to: new Uint32Array(count),
  };
  let at = 0;
  for (const [segment, places] of found.entries()) {
    words.first[segment] = at;
    for (const [start, from, to] of places) {
      words.starts[at] = start;
      words.from[at] = from;
      words.to[at++] = to;
    }
  }
  words.first[found.length] = at;
  words.inTime = words.starts.slice().sort();
  const segments = transcript.segments.map(({ words: _, ...line }) => line);
  let latest = 0;
  const starts = Float64Array.from(segments, ({ start }) => (latest = Math.max(latest, start)));
  return { ...transcript, text: "", segments, starts, turns: turnsOf(segments, starts), words };
}

/**
 * Who speaks into what another says has the turn until the end of it, and the other has it again after that. Where nobody
 * speaks it stays with who spoke last.
 */
function turnsOf(segments: Line[], starts: Float64Array): Turns {
  const turns: Turns = { from: [], segment: [] };
  const open: number[] = []; // what has begun and not ended, the newest last
  const end = (index: number) => Math.max(segments[index]!.end, starts[index]!);
  const give = (from: number, segment: number) => {
    turns.from.push(from);
    turns.segment.push(segment);
  };
  const closeUntil = (time: number) => {
    while (open.length && end(open.at(-1)!) <= time) {
      const over = end(open.pop()!);
      while (open.length && end(open.at(-1)!) <= over) open.pop();
      if (open.length) give(over, open.at(-1)!);
    }
  };
  for (const [index, start] of starts.entries()) {
    closeUntil(start);
    give(start, index);
    open.push(index);
  }
  closeUntil(Infinity);
  return turns;
}

/** Start, and place in the text, of each word; none where the text does not hold them in their order. */
function placesOf({ text, words }: Segment): [start: number, from: number, to: number][] {
  const places: [number, number, number][] = [];
  let after = 0;
  for (const { word, start } of words ?? []) {
    const from = text.indexOf(word, after);
    if (from < 0) return [];
    places.push([start, from, (after = from + word.length)]);
  }
  return places;
}

/** The last of ascending numbers that is not above `value`, -1 where all are. */
export function lastUpTo(numbers: ArrayLike<number>, value: number, low = 0, high = numbers.length): number {
  const first = low;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (numbers[middle]! <= value) low = middle + 1;
    else high = middle;
  }
  return low > first ? low - 1 : -1;
}

/** Browsers cut off what they are told: 1.009 may be read as 1.008999. Less than what lies between two starts. */
const CUT = 0.0005; // seconds

export interface Place {
  segment: number;
  /** Among all words; -1 before the segment's first, and where it has none. */
  word: number;
}

/** The segment and word that are said at a time in seconds; null before the first. */
export function placeAt({ turns, words }: Read, time: number): Place | null {
  const now = time + CUT;
  const turn = lastUpTo(turns.from, now);
  if (turn < 0) return null;
  const segment = turns.segment[turn]!;
  return { segment, word: lastUpTo(words.starts, now, words.first[segment], words.first[segment + 1]) };
}

/** When the word before or after the one that is said at a time begins, whoever says it; undefined where there is none. */
export function wordFrom(read: Read, time: number, by: 1 | -1): number | undefined {
  const { starts, inTime } = read.words;
  if (by > 0) return inTime[lastUpTo(inTime, time + CUT) + 1];
  const word = placeAt(read, time)?.word ?? -1;
  return inTime[lastUpTo(inTime, (word < 0 ? time : starts[word]!) - CUT)];
}

/** When the segment before or after the one that is said at a time begins; the first where there is none before. */
export function segmentFrom(read: Read, time: number, by: 1 | -1): number | undefined {
  const { starts } = read;
  if (by > 0) return starts[lastUpTo(starts, time + CUT) + 1];
  const segment = placeAt(read, time)?.segment ?? 0;
  return starts[Math.max(0, lastUpTo(starts, starts[segment]! - CUT))];
}

/** The word at a place in a segment's text, in characters, or the one before it; -1 where there is none. */
export function wordAt({ words }: Read, segment: number, character: number): number {
  const [first, end] = [words.first[segment]!, words.first[segment + 1]!];
  return first === end ? -1 : Math.max(first, lastUpTo(words.from, character, first, end));
}
