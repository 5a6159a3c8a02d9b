import assert from "node:assert/strict";
import { test } from "node:test";
import { events } from "../src/api/sse.ts";

/** The events in a text that comes in pieces of so many bytes. */
async function read(text: string, size: number) {
  const bytes = new TextEncoder().encode(text);
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (let at = 0; at < bytes.length; at += size) controller.enqueue(bytes.slice(at, at + size));
      controller.close();
    },
  });
  const found = [];
  for await (const event of events(body)) found.push(event);
  return found;
}

const SAID = [
  { event: "progress", data: '{"message": "Schön – 完"}' },
  { event: "message", data: "one\ntwo" },
];

for (const end of ["\n", "\r\n", "\r"]) {
  const text = [
    ": alive", "", "event: progress", 'data: {"message": "Schön – 完"}', "", "id: 7", "data: one", "data:two", "", "",
    "event: lost", "data: half",
  ].join(end);
  test(`events are the same however they are cut, lines ending in ${JSON.stringify(end)}`, async () => {
    for (const size of [1, 2, 3, 7, 1000]) assert.deepEqual(await read(text, size), SAID);
  });
}

test("a line ends where the standard says, and not where text has a separator of its own", async () => {
  assert.deepEqual(await read("data: one\u2028two\n\n", 4), [{ event: "message", data: "one\u2028two" }]);
});
