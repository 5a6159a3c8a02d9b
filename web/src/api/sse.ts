// Server-Sent Events (WHATWG HTML, section 9.2), read from the body of an answer.

export interface Message {
  event: string;
  data: string;
}

/** Yield the events of a stream. Comments keep the line alive and say nothing. */
export async function* events(body: ReadableStream<Uint8Array>): AsyncGenerator<Message> {
  const reader = body.pipeThrough(new TextDecoderStream() as unknown as TransformStream<Uint8Array, string>).getReader();
  let left = "";
  let event = "message";
  let data: string[] = [];
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (left + value).split(/\r\n|\n|\r(?!$)/);
    left = lines.pop() ?? "";
    for (const line of lines) {
      if (line === "") {
        if (data.length) yield { event, data: data.join("\n") };
        event = "message";
        data = [];
        continue;
      }
      const [, field, text] = /^([^:]*):? ?(.*)$/s.exec(line) ?? [];
      if (field === "event") event = text ?? "";
      else if (field === "data") data.push(text ?? "");
    }
  }
}
