// Recordings on their way to the server.

import type { Upload } from "../state/outbox";
import { save } from "./saving";
import type { Sending } from "./useSending";

const NEVER = new Set([413, 415]); // statuses of what is refused however often it is sent
const LEAVE = { waiting: "Leave out", sending: "Stop", failed: "Dismiss" };

export function Uploads({ uploads, again, stop }: Sending) {
  if (!uploads.length) return null;
  return (
    <ul class="uploads" aria-label="Uploads">
      {uploads.map((upload) => (
        <Row key={upload.id} upload={upload} again={() => again(upload)} stop={() => stop(upload)} />
      ))}
    </ul>
  );
}

function Row({ upload, again, stop }: { upload: Upload; again(): void; stop(): void }) {
  const { file, spoken, state, done, error } = upload;
  const leave = () => {
    if (spoken && state !== "sending" && !confirm(`Give up ${file.name}? It is nowhere else unless you have saved it.`)) return;
    stop();
    if (state !== "sending") document.querySelector("main")!.focus({ preventScroll: true }); // the button is gone
  };
  return (
    <li>
      <span class="file" dir="auto">
        {file.name}
      </span>
      {error ? (
        <span class="bad" role="alert">
          {error.message}
        </span>
      ) : (
        <progress max={1} value={done} aria-label={`Upload of ${file.name}`} />
      )}
      {!error && <span class="percent">{state === "waiting" ? "Waiting" : `${Math.floor(100 * done)} %`}</span>}
      {error && state === "failed" && !NEVER.has(error.status) && (
        <button type="button" onClick={again}>
          Send again
        </button>
      )}
      {spoken && (
        <button type="button" onClick={() => save(file, file.name)}>
          Save
        </button>
      )}
      <button type="button" onClick={leave}>
        {LEAVE[state]}
      </button>
    </li>
  );
}
