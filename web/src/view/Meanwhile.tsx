// What is recorded and sent while one looks at something else.

import { RecordButton } from "./RecordButton";
import { Uploads } from "./Uploads";
import type { Sending } from "./useSending";

export function Meanwhile(sending: Sending) {
  const { recorder, uploads } = sending;
  if (recorder.seconds === null && !uploads.length) return null;
  return (
    <section class="card" aria-label="Meanwhile">
      {recorder.seconds !== null && <RecordButton {...recorder} />}
      <Uploads {...sending} />
    </section>
  );
}
