// The transcript as a file, in every format that the server writes.

import { useState } from "preact/hooks";
import { ApiError, type Api } from "../api/client";
import { FORMATS, nameFor } from "../text/formats";

interface Props {
  api: Api;
  task: string;
  filename: string;
  fail(sentence: string): void;
  refused(error: ApiError): void;
}

export function Downloads({ api, task, filename, fail, refused }: Props) {
  const [format, setFormat] = useState<(typeof FORMATS)[number]>(FORMATS[0]);
  const [busy, setBusy] = useState(false);
  const take = async () => {
    setBusy(true);
    try {
      save(await api.written(task, format.format), nameFor(filename, format.suffix));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 401) refused(error);
      fail(error.message);
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
        <button type="button" class="main" disabled={busy} onClick={() => void take()}>
          Download
        </button>
      </p>
    </section>
  );
}

function save(content: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
