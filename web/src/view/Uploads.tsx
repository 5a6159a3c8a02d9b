// Recordings on their way to the server.

export interface Upload {
  /** Also its Idempotency-Key: sent again, it is the same task. */
  id: string;
  file: File;
  /** 0..1 */
  done: number;
  error: string | null;
  abort: (() => void) | null;
}

interface Props {
  uploads: Upload[];
  again(upload: Upload): void;
  drop(id: string): void;
}

export function Uploads({ uploads, again, drop }: Props) {
  if (!uploads.length) return null;
  return (
    <ul class="uploads" aria-label="Uploads">
      {uploads.map((upload) => (
        <li key={upload.id}>
          <span class="file">{upload.file.name}</span>
          {upload.error === null ? (
            <>
              <progress max={1} value={upload.done} aria-label={`Upload of ${upload.file.name}`} />
              <span class="percent">{Math.floor(100 * upload.done)} %</span>
              <button type="button" disabled={!upload.abort} onClick={() => upload.abort?.()}>
                Stop
              </button>
            </>
          ) : (
            <>
              <span class="bad" role="alert">
                {upload.error}
              </span>
              <button type="button" onClick={() => again(upload)}>
                Send again
              </button>
              <button type="button" onClick={() => drop(upload.id)}>
                Dismiss
              </button>
            </>
          )}
        </li>
      ))}
    </ul>
  );
}
