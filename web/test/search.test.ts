import assert from "node:assert/strict";
import { test } from "node:test";
import type { Segment } from "../src/api/types.ts";
import { MOST_HITS, placeOf, search, type Hit } from "../src/text/search.ts";

const segment = (text: string, id = 0): Segment => ({ id, start: 0, end: 1, text, speaker: null });
const found = async (text: string, wanted: string) =>
  (await search([segment(text)], wanted, new AbortController().signal))!.map(({ start, end }) => text.slice(start, end));

test("case and accents do not matter, and what is found is what stands there", async () => {
  assert.deepEqual(await found("Où est le CAFÉ? Le café est là.", "cafe"), ["CAFÉ", "café"]);
  assert.deepEqual(await found("naive naïve NAÏVE", "naïve"), ["naive", "naïve", "NAÏVE"]);
  assert.deepEqual(await found("a decomposed e\u0301te\u0301 here", "été"), ["e\u0301te\u0301"]);
  assert.deepEqual(await found("İstanbul'da", "istanbul"), ["İstanbul"]);
});

test("letters beyond the basic plane keep their places", async () => {
  assert.deepEqual(await found("😀 straße 😀 Straße", "STRASSE".toLowerCase()), []);
  assert.deepEqual(await found("😀 straße 😀 Straße", "straße"), ["straße", "Straße"]);
});

test("accents of Arabic and Hebrew do not matter either", async () => {
  assert.deepEqual(await found("كَتَبَ", "كتب"), ["كَتَبَ"]);
  assert.deepEqual(await found("שָׁלוֹם", "שלום"), ["שָׁלוֹם"]);
});

test("marks that are vowels or make another letter do matter", async () => {
  assert.deepEqual(await found("की कि का की", "की"), ["की", "की"]);
  assert.deepEqual(await found("ปู ปี", "ปี"), ["ปี"]);
  assert.deepEqual(await found("ガス カス", "カ"), ["カ"]);
  assert.deepEqual(await found("カ\u3099ス", "ガス"), ["カ\u3099ス"]);
  assert.deepEqual(await found("한글 하나", "하"), ["하"]);
});

test("what is found has at least one character, whole", async () => {
  assert.deepEqual(await found("क\u093c \u0958 क", "क"), ["क", "\u0958", "क"]);
});

test("one apostrophe is as good as another, and one space", async () => {
  assert.deepEqual(await found("I don’t, you don't", "don't"), ["don’t", "don't"]);
  assert.deepEqual(await found("I don't", "don’t"), ["don't"]);
  assert.deepEqual(await found("a\u00a0b, a\nb, a b", "a b"), ["a\u00a0b", "a\nb", "a b"]);
});

test("a hit that is gone was between two others", () => {
  const hit = (segment: number, start: number): Hit => ({ segment, start, end: start + 1 });
  const hits = [hit(1, 5), hit(1, 9), hit(4, 0)];
  assert.deepEqual(hits.map((one) => placeOf(one, hits)), [0, 1, 2]);
  assert.deepEqual([hit(0, 9), hit(1, 6), hit(3, 2), hit(4, 1)].map((one) => placeOf(one, hits)), [-0.5, 0.5, 1.5, 2.5]);
  assert.equal(placeOf(hit(0, 0), []), -0.5);
});

test("hits do not overlap, and nothing is found by nothing", async () => {
  assert.deepEqual(await found("aaaa", "aa"), ["aa", "aa"]);
  assert.deepEqual(await found("anything", "   "), []);
});

test("hits name their segments in order, and there is an end to them", async () => {
  const many = Array.from({ length: 20 }, (_, id) => segment("a ".repeat(1000), id));
  const hits = (await search(many, "a", new AbortController().signal))!;
  assert.equal(hits.length, MOST_HITS);
  assert.deepEqual(hits.slice(998, 1002).map((hit) => hit.segment), [0, 0, 1, 1]);
});

test("a search that is not wanted any more ends with nothing", async () => {
  const stop = new AbortController();
  const many = Array.from({ length: 200_000 }, (_, id) => segment(`é${id}`, id));
  const looking = search(many, "e1", stop.signal);
  stop.abort();
  assert.equal(await looking, null);
});
