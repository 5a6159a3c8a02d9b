import assert from "node:assert/strict";
import { test } from "node:test";
import type { Transcript } from "../src/api/types.ts";
import { lastUpTo, placeAt, toRead, wordAt } from "../src/text/words.ts";

type Said = [word: string, start: number];

/** A transcript of segments, each of its start, text and words. */
function read(...segments: [start: number, text: string, words?: Said[]][]) {
  const transcript: Transcript = {
    task_id: "", language: "en", duration: 100, text: "all of it", speakers: [], models: {}, warnings: [],
    segments: segments.map(([start, text, words], id) => ({
      id, start, end: start + 5, text, speaker: null,
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
