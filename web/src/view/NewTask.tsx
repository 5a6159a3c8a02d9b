// A recording is given: dropped, chosen or spoken, and sent with what is known of it.

import { useRef } from "preact/hooks";
import type { Model } from "../api/types";
import { OptionFields } from "./OptionFields";
import { RecordButton } from "./RecordButton";
import { Uploads } from "./Uploads";
import type { Sending } from "./useSending";

interface Props {
  sending: Sending;
  models: Model[];
  /** Whether files are held over the page. */
  over: boolean;
}

export function NewTask({ sending, models, over }: Props) {
  const { recorder, fields, setFields, send } = sending;
  const input = useRef<HTMLInputElement>(null);
  return (
    <section class="card new" aria-labelledby="new">
      <h2 id="new">New transcript</h2>
      <OptionFields fields={fields} models={models} change={setFields} />
      <div class={`drop${over ? " over" : ""}`}>
        <p>Drop recordings here, audio or video, or</p>
        <p class="buttons">
          <button type="button" class="main" onClick={() => input.current?.click()}>
            Choose files
          </button>
          <RecordButton {...recorder} />
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
            send(files);
          }}
        />
      </div>
      {recorder.error && (
        <p class="note bad" role="alert">
          {recorder.error}
        </p>
      )}
      <Uploads {...sending} />
    </section>
  );
}
