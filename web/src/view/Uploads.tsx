// Recordings on their way to the server.

import type { Upload } from "../state/outbox";
import type { Sending } from "./useSending";

const NEVER = new Set([413, 415]); // statuses of what is refused however often it is sent

export function Uploads({ uploads, again, stop }: Sending) {
  if (!uploads.length) return null;
  return (
    <ul class="uploads" aria-label="Uploads">
      {uploads.map((upload) => (
        <li key={upload.id}>
          <span class="file">{upload.file.name}</span>
          {upload.state === "failed" ? (
            <>
              <span class="bad" role="alert">
                {upload.error?.message}
              </span>
              {!NEVER.has(upload.error!.status) && (
                <button type="button" onClick={() => again(upload)}>
                  Send again
                </button>
              )}
              <button type="button" onClick={() => stop(upload)}>
                Dismiss
              </button>
            </>
          ) : (
            <OnItsWay upload={upload} stop={() => stop(upload)} />
          )}
        </li>
      ))}
    </ul>
  );
}

function OnItsWay({ upload: { file, state, done }, stop }: { upload: Upload; stop(): void }) {
  return (
    <>
      <progress max={1} value={done} aria-label={`Upload of ${file.name}`} />
      <span class="percent">{state === "waiting" ? "Waiting" : `${Math.floor(100 * done)} %`}</span>
      <button type="button" onClick={stop}>
        {state === "waiting" ? "Leave out" : "Stop"}
      </button>
    </>
  );
}
