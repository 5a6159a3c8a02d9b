import assert from "node:assert/strict";
import { test } from "node:test";
import type { Segment } from "../src/api/types.ts";
import { lastUpTo, placeAt, spans, startsOf } from "../src/text/words.ts";

const word = (word: string, start: number) => ({ word, start, end: start + 0.4, score: null, speaker: null });
const segment = (start: number, text: string, words?: ReturnType<typeof word>[]): Segment => ({
  id: 0, start, end: start + 5, text, speaker: null, ...(words && { words }),
});

test("a moment is found in any number of segments", () => {
  for (let count = 0; count < 40; count++) {
    const numbers = Array.from({ length: count }, (_, n) => n * 2);
    for (let value = -1; value <= 2 * count; value++) {
      assert.equal(lastUpTo(numbers, value), Math.min(Math.floor(value / 2), count - 1));
    }
  }
});

test("the word of a moment is the last that has begun", () => {
  const segments = [segment(1, "a b", [word("a", 1), word("b", 2)]), segment(10, "c", [word("c", 10.5)])];
  const starts = startsOf(segments);
  const at = (time: number) => placeAt(segments, starts, time);
  assert.equal(at(0.9), null);
  assert.deepEqual([at(1), at(1.9), at(2), at(9), at(10.2), at(99)], [
    { segment: 0, word: 0 }, { segment: 0, word: 0 }, { segment: 0, word: 1 }, { segment: 0, word: 1 },
    { segment: 1, word: -1 }, { segment: 1, word: 0 },
  ]);
});

test("starts ascend where segments overlap", () => {
  assert.deepEqual([...startsOf([segment(5, ""), segment(4, ""), segment(6, "")])], [5, 5, 6]);
});

test("words have their places in the text, spaces before them or not", () => {
  const english = segment(0, " Oh, oh well.", [word("Oh,", 0), word("oh", 1), word("well.", 2)]);
  assert.deepEqual(spans(english).map(({ before, word }) => before + word), [" Oh,", " oh", " well."]);
  const chinese = segment(0, "你好吗", [word("你", 0), word("好", 1), word("吗", 2)]);
  assert.deepEqual(spans(chinese).map(({ start, end }) => [start, end]), [[0, 1], [1, 2], [2, 3]]);
});

test("a text that does not hold its words is one piece", () => {
  const whole = [{ before: "", word: "Something else.", start: 0, end: 15 }];
  assert.deepEqual(spans(segment(0, "Something else.", [word("gone", 0)])), whole);
  assert.deepEqual(spans(segment(0, "Something else.")), whole);
});
