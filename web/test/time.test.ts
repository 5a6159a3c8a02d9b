import assert from "node:assert/strict";
import { test } from "node:test";
import { clock, lasting } from "../src/text/time.ts";

test("a clock has hours where there are any", () => {
  assert.deepEqual([0, 6.9, 65, 3599.9, 3600, 36_061].map(clock), ["0:00", "0:06", "1:05", "59:59", "1:00:00", "10:01:01"]);
});

test("lengths are told roughly", () => {
  assert.deepEqual([0.4, 59.4, 60, 3540, 3600, 3900].map(lasting), ["0 s", "59 s", "1 min", "59 min", "1 h", "1 h 5 min"]);
});
