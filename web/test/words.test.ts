import assert from "node:assert/strict";
import { test } from "node:test";
import type { Transcript } from "../src/api/types.ts";
import { lastUpTo, placeAt, segmentFrom, toRead, wordAt, wordFrom } from "../src/text/words.ts";

type Said = [word: string, start: number];

/** A transcript of segments, each of its start, text, words and end: five seconds, where none is given. */
function read(...segments: [start: number, text: string, words?: Said[], end?: number][]) {
  const transcript: Transcript = {
    task_id: "", language: "en", duration: 100, text: "all of it", speakers: [], models: {}, warnings: [],
    segments: segments.map(([start, text, words, end = start + 5], id) => ({
      id, start, end, text, speaker: null,
      ...(words && { words: words.map(([word, start]) => ({ word, start, end: start + 0.4, score: null, speaker: null })) }),
    })),
  };
  return toRead(transcript);
}

test("a moment is found in any number of segments, and among some of them", () => {
  for (let count = 0; count < 40; count++) {
    const numbers = Array.from({ length: count }, (_, n) => n * 2);
    for (let value = -1; value <= 2 * count; value++) {
      const last = Math.min(Math.floor(value / 2), count - 1);
      assert.equal(lastUpTo(numbers, value), last);
      for (const [low, high] of [[0, count], [Math.floor(count / 2), count], [0, Math.floor(count / 2)]] as const) {
        const inside = Math.min(last, high - 1);
        assert.equal(lastUpTo(numbers, value, low, high), inside < low ? -1 : inside);
      }
    }
  }
});

test("the word of a moment is the last of its segment that has begun", () => {
  const text = read([1, "a b", [["a", 1], ["b", 2]]], [10, "c", [["c", 10.5]]], [20, "no words"]);
  const at = (time: number) => placeAt(text, time);
  assert.equal(at(0.9), null);
  assert.deepEqual([at(1), at(1.9), at(2), at(9), at(10.2), at(11), at(99)], [
    { segment: 0, word: 0 }, { segment: 0, word: 0 }, { segment: 0, word: 1 }, { segment: 0, word: 1 },
    { segment: 1, word: -1 }, { segment: 1, word: 2 }, { segment: 2, word: -1 },
  ]);
});

test("a moment that the browser has cut off is the one that was meant", () => {
  const text = read([0, "a b", [["a", 0], ["b", 1.009]]], [2.003, "c", [["c", 2.003]]]);
  assert.deepEqual([1.008, 1.008999, 2.002, 2.002999].map((time) => placeAt(text, time)), [
    { segment: 0, word: 0 }, { segment: 0, word: 1 }, { segment: 0, word: 1 }, { segment: 1, word: 2 },
  ]);
});

test("starts ascend where segments overlap", () => {
  assert.deepEqual([...read([5, ""], [4, ""], [6, ""]).starts], [5, 5, 6]);
});

/** Somebody speaks ten seconds, a word each half of one, and another says a word meanwhile. */
const long = Array.from({ length: 20 }, (_, n): Said => ["so", n / 2]);
const overlapping = read(
  [0, Array(20).fill("so").join(" "), long, 10], [4.1, "Right.", [["Right.", 4.1]], 4.6], [20, "Yes.", [["Yes.", 20]]],
);

test("who is spoken into goes on afterwards, and is the one who spoke last", () => {
  const at = (time: number) => placeAt(overlapping, time);
  assert.deepEqual([4, 4.1, 4.5, 4.6, 9.9, 15, 20].map(at), [
    { segment: 0, word: 8 }, { segment: 1, word: 20 }, { segment: 1, word: 20 }, { segment: 0, word: 9 },
    { segment: 0, word: 19 }, { segment: 0, word: 19 }, { segment: 2, word: 21 },
  ]);
});

test("turns are right for any segments", () => {
  const { turns: own } = read([3, ""], [3, "", [], 3], [3, ""], [9, "", [], 1], [10, "", [], 30], [12, "", [], 20], [13, "", [], 14], [14, "", [], 22]);
  assert.deepEqual(own.from, own.from.toSorted((one, other) => one - other));
  let seed = 7;
  const random = (most: number) => (seed = (seed * 16_807) % 2_147_483_647) % most;
  for (let round = 0; round < 200; round++) {
    const spans = Array.from({ length: 1 + random(8) }, () => random(20)).sort((one, other) => one - other)
      .map((start): [number, string, Said[], number] => [start, "", [], start + 1 + random(10)]);
    const text = read(...spans);
    for (let time = spans[0]![0] + 0.5; time < 31; time++) {
      const going = spans.findLastIndex(([start, , , end]) => start <= time && time < end);
      if (going >= 0) assert.equal(placeAt(text, time)!.segment, going, JSON.stringify({ spans, time }));
      else assert.ok(spans[placeAt(text, time)!.segment]![3] <= time);
    }
  }
});

/** Where one comes to by pressing a key again and again. */
function steps(step: typeof wordFrom, text: ReturnType<typeof read>, from: number, by: 1 | -1, count: number): (number | undefined)[] {
  let now: number | undefined = from;
  return Array.from({ length: count }, () => (now = now === undefined ? undefined : step(text, now, by)));
}

test("steps by words go through time, whoever speaks", () => {
  assert.deepEqual(steps(wordFrom, overlapping, 3.8, 1, 4), [4, 4.1, 4.5, 5]);
  assert.deepEqual(steps(wordFrom, overlapping, 4.9, -1, 4), [4.1, 4, 3.5, 3]);
  assert.deepEqual(steps(wordFrom, overlapping, 15, -1, 2), [9, 8.5]);
  assert.deepEqual(steps(wordFrom, overlapping, 9.5, 1, 2), [20, undefined]);
  assert.deepEqual(steps(wordFrom, overlapping, 0.2, -1, 1), [undefined]);
  const late = read([1, "a", [["a", 1]]], [10, "b", [["b", 10.5]]]);
  assert.deepEqual([wordFrom(late, 0, 1), wordFrom(late, 10.2, 1), wordFrom(late, 10.2, -1)], [1, 10.5, 1]);
});

test("steps by segments go through time, whoever speaks", () => {
  assert.deepEqual(steps(segmentFrom, overlapping, 3, 1, 2), [4.1, 20]);
  assert.deepEqual(steps(segmentFrom, overlapping, 5, 1, 2), [20, undefined]);
  assert.deepEqual(steps(segmentFrom, overlapping, 21, -1, 3), [4.1, 0, 0]);
  assert.deepEqual([segmentFrom(read([2, ""]), 0, 1), segmentFrom(read([2, ""]), 0, -1), segmentFrom(read(), 0, -1)], [2, 2, undefined]);
});

test("steps back do not stop where two begin at once", () => {
  const text = read([1, "a", [["a", 1]]], [5, "b c d", [["b", 5], ["c", 6], ["d", 6]]], [5, "e", [["e", 6.0002]]], [9, "f", [["f", 9]]]);
  assert.deepEqual(steps(wordFrom, text, 9, -1, 3).map((at) => at && Math.floor(at)), [6, 5, 1]);
  assert.deepEqual(steps(segmentFrom, text, 9, -1, 2), [5, 1]);
});

test("words have their places in the text, spaces before them or not", () => {
  const { words } = read([0, " Oh, oh well.", [["Oh,", 0], ["oh", 1], ["well.", 2]]], [5, "你好吗", [["你", 5], ["好", 6], ["吗", 7]]]);
  assert.deepEqual([...words.first], [0, 3, 6]);
  assert.deepEqual([...words.from], [1, 5, 8, 0, 1, 2]);
  assert.deepEqual([...words.to], [4, 7, 13, 1, 2, 3]);
});

test("what is at a place in the text is the word there, or the one before", () => {
  const text = read([0, "first"], [1, " Oh, well.", [["Oh,", 1], ["well.", 2]]]);
  assert.deepEqual([0, 1, 3, 4, 5, 10].map((character) => wordAt(text, 1, character)), [0, 0, 0, 0, 1, 1]);
  assert.equal(wordAt(text, 0, 2), -1);
});

test("a text that does not hold its words has none", () => {
  assert.deepEqual([...read([0, "Something else.", [["gone", 0]]], [1, "a", [["a", 1]]]).words.first], [0, 0, 1]);
});
