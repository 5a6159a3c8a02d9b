import assert from "node:assert/strict";
import { test } from "node:test";
import { Api, ApiError } from "../src/api/client.ts";

/** The refusal that comes of an answer. */
async function refusal(answer: Response | Error, key = "key"): Promise<ApiError> {
  const own = globalThis.fetch;
  globalThis.fetch = async () => {
    if (answer instanceof Error) throw answer;
    return answer;
  };
  try {
    await new Api("", key).models();
  } catch (error) {
    assert(error instanceof ApiError, String(error));
    return error;
  } finally {
    globalThis.fetch = own;
  }
  throw new Error("nothing was refused");
}

/** An answer that ends before its time. */
const torn = new Response(new ReadableStream({ pull: (controller) => controller.error(new TypeError("torn")) }));

const CASES: [string, Response | Error, number, RegExp, boolean][] = [
  ["no answer", new TypeError("refused"), 0, /does not answer/, true],
  ["half an answer", torn, 0, /does not answer/, true],
  ["a page of somebody else's", new Response("<html>Sign in"), 200, /Something other/, true],
  ["a proxy's error", new Response("<html>", { status: 502 }), 502, /answered 502/, true],
  ["too many", new Response('{"detail": "Wait."}', { status: 429 }), 429, /^Wait\.$/, true],
  ["no such task", new Response('{"detail": "Gone."}', { status: 404 }), 404, /^Gone\.$/, false],
  ["OpenAI's form", new Response('{"error": {"message": "No."}}', { status: 403 }), 403, /^No\.$/, false],
  ["an error that is null", new Response("null", { status: 400 }), 400, /answered 400/, false],
];

for (const [name, answer, status, sentence, passing] of CASES) {
  test(`${name} is a refusal with a sentence`, async () => {
    const error = await refusal(answer);
    assert.equal(error.status, status);
    assert.match(error.message, sentence);
    assert.equal(error.passing, passing);
  });
}

test("how long to wait is read where it is seconds", () => {
  assert.deepEqual(["7", "0", "", "-1", "Wed, 21 Oct 2026 07:28:00 GMT", null].map((said) => new ApiError(429, "Wait.", said).after), [7, 0, null, null, null, null]);
});

test("a key that no header carries is refused before it is sent", async () => {
  assert.equal((await refusal(new Response("{}"), "key\u200b")).status, 401);
});
