// Upload a recording and follow it, with what JavaScript has by itself: node fetch.mjs meeting.wav
// WHISPERX_API_URL and WHISPERX_API_KEY name the server and its key. In a browser the file is that of an <input>, and
// the server has to name the page's origin in ALLOWED_ORIGINS.
import { openAsBlob } from "node:fs";
import { basename } from "node:path";

const path = process.argv[2];
const url = `${process.env.WHISPERX_API_URL ?? "http://127.0.0.1:8000"}/api/v1/transcribe`;
const headers = { "X-API-Key": process.env.WHISPERX_API_KEY };

async function call(address, options = {}) {
  const answer = await fetch(address, { ...options, headers });
  if (!answer.ok) throw new Error((await answer.json()).detail); // a sentence that says what is wrong
  return answer;
}

// Server-Sent Events. EventSource can't send a key; a stream of fetch can.
async function* events(answer) {
  let text = "";
  for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) {
    text += piece;
    let end;
    while ((end = text.search(/\r?\n\r?\n/)) >= 0) {
      const fields = Object.fromEntries(
        text.slice(0, end).split(/\r?\n/).map((line) => [line.split(":", 1)[0], line.slice(line.indexOf(":") + 1).trim()]),
      );
      text = text.slice(end).replace(/^\r?\n\r?\n/, "");
      if (fields.data) yield { name: fields.event, ...JSON.parse(fields.data) };
    }
  }
}

const form = new FormData();
form.append("file", await openAsBlob(path), basename(path));
const { task_id: task } = await (await call(`${url}/upload`, { method: "POST", body: form })).json();

for await (const event of events(await call(`${url}/events/${task}`))) {
  if (event.name === "progress") console.error(`${event.progress.toFixed(1)} %  ${event.message}`);
  if (event.name === "segment") console.error(event.text);
  if (event.name === "failed" || event.name === "cancelled") throw new Error(event.error ?? event.name);
}

const { segments } = await (await call(`${url}/result/${task}`)).json();
for (const { start, speaker, text } of segments) console.log(`${start.toFixed(2)}  ${speaker ?? "-"}: ${text}`);
