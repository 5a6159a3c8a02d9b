// A recording is given: dropped, chosen or spoken, and sent with what is known of it.

import { useRef, useState } from "preact/hooks";
import { ApiError, type Api, type Fields } from "../api/client";
import { go } from "../state/route";
import { clock } from "../text/time";
import { OptionFields } from "./OptionFields";
import { useRecorder } from "./useRecorder";
import { Uploads, type Upload } from "./Uploads";

interface Props {
  api: Api;
  models: string[];
  sent(): void;
  refused(error: ApiError): void;
}

export function NewTask({ api, models, sent, refused }: Props) {
  const [fields, setFields] = useState<Fields>({});
  const [over, setOver] = useState(false);
  const [uploads, setUploads] = useState<Upload[]>([]);
  const input = useRef<HTMLInputElement>(null);
  const recorder = useRecorder((file) => void send([file]));

  const change = (id: string, by: Partial<Upload>) =>
    setUploads((all) => all.map((one) => (one.id === id ? { ...one, ...by } : one)));
  const gone = (id: string) => setUploads((all) => all.filter((one) => one.id !== id));

  const sendOne = async (upload: Upload): Promise<string | null> => {
    const sending = api.upload(upload.file, upload.file.name, fields, upload.id, (done) => change(upload.id, { done }));
    change(upload.id, { abort: () => sending.abort(), error: null, done: 0 });
    try {
      const task = await sending.done;
      gone(upload.id);
      sent();
      return task;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 401) refused(error);
      change(upload.id, { error: error.message, abort: null });
      return null;
    }
  };

  const send = async (files: Iterable<File>) => {
    const added = [...files].map((file) => ({ id: uniqueName(), file, done: 0, error: null, abort: null }));
    setUploads((all) => [...all, ...added]);
    const tasks: (string | null)[] = [];
    for (const upload of added) tasks.push(await sendOne(upload)); // one after the other: the line is the bottleneck
    if (tasks.length === 1 && tasks[0]) go(tasks[0]);
  };

  return (
    <section class="card new" aria-labelledby="new">
      <h2 id="new">New transcript</h2>
      <OptionFields fields={fields} models={models} change={setFields} />
      <div
        class={`drop${over ? " over" : ""}`}
        onDragOver={(event) => {
          event.preventDefault();
          setOver(true);
        }}
        onDragLeave={() => setOver(false)}
        onDrop={(event) => {
          event.preventDefault();
          setOver(false);
          void send(event.dataTransfer?.files ?? []);
        }}
      >
        <p>Drop recordings here, audio or video, or</p>
        <p class="buttons">
          <button type="button" class="main" onClick={() => input.current?.click()}>
            Choose files
          </button>
          {recorder.seconds === null ? (
            <button type="button" onClick={() => void recorder.start()}>
              Record
            </button>
          ) : (
            <button type="button" class="danger" onClick={recorder.stop}>
              Stop and send, {clock(recorder.seconds)}
            </button>
          )}
        </p>
        <input
          ref={input}
          type="file"
          class="unseen"
          tabIndex={-1}
          aria-label="Files to send"
          accept="audio/*,video/*,.mka,.mkv,.opus,.amr"
          multiple
          onChange={(event) => {
            const files = [...(event.currentTarget.files ?? [])];
            event.currentTarget.value = "";
            void send(files);
          }}
        />
      </div>
      {recorder.error && (
        <p class="note bad" role="alert">
          {recorder.error}
        </p>
      )}
      <Uploads uploads={uploads} again={(upload) => void sendOne(upload)} drop={gone} />
    </section>
  );
}

/** A name that no other upload has; `crypto.randomUUID` is not there where a page comes by plain HTTP. */
function uniqueName(): string {
  return [...crypto.getRandomValues(new Uint32Array(4))].map((part) => part.toString(16).padStart(8, "0")).join("");
}
