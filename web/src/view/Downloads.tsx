// The transcript as a file, in every format that the server writes.

import { useState } from "preact/hooks";
import { ApiError, type Api } from "../api/client";
import { FORMATS, nameFor } from "../text/formats";
import { save } from "./saving";

interface Props {
  api: Api;
  task: string;
  filename: string;
  fail(sentence: string | null): void;
  refused(error: ApiError): void;
}

export function Downloads({ api, task, filename, fail, refused }: Props) {
  const [format, setFormat] = useState<(typeof FORMATS)[number]>(FORMATS[0]);
  const [busy, setBusy] = useState(false);
  const take = async () => {
    if (busy) return; // not disabled, for that would take the focus away
    setBusy(true);
    fail(null);
    try {
      save(await api.written(task, format.format), nameFor(filename, format.suffix));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 401) refused(error);
      else fail(error.message);
    } finally {
      setBusy(false);
    }
  };
  return (
    <section class="card" aria-labelledby="download">
      <h2 id="download">Download</h2>
      <p class="row-of">
        <select
          aria-label="Format"
          onChange={(event) => setFormat(FORMATS.find((one) => one.format === event.currentTarget.value) ?? FORMATS[0])}
        >
          {FORMATS.map((one) => (
            <option key={one.format} value={one.format} selected={one === format}>
              {one.label}
            </option>
          ))}
        </select>
        <button type="button" class="main" aria-disabled={busy} onClick={() => void take()}>
          Download
        </button>
      </p>
    </section>
  );
}
