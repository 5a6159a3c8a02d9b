// What is recorded and sent, wherever on the page one is meanwhile.

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Api, ApiError, Fields } from "../api/client";
import { Outbox, type Upload } from "../state/outbox";
import { go, taskIn } from "../state/route";
import { tellWork } from "../state/work";
import { useRecorder, type Recorder } from "./useRecorder";

export interface Sending {
  fields: Fields;
  setFields(fields: Fields): void;
  uploads: readonly Upload[];
  recorder: Recorder;
  /** Whether there is something that would be lost with the page. */
  busy: boolean;
  /** Changes when a task was sent. */
  turn: number;
  send(files: Iterable<File>): void;
  again(upload: Upload): void;
  stop(upload: Upload): void;
  /** Leave all of it, what is being spoken too: it is not for whoever has the next key. */
  clear(): void;
}

export function useSending(api: Api, refused: (error: ApiError) => void): Sending {
  const [fields, setFields] = useState<Fields>({});
  const [uploads, setUploads] = useState<readonly Upload[]>([]);
  const [turn, setTurn] = useState(0);
  const recorder = useRecorder((file) => outbox.sendSpoken(file, fields));
  const latest = useRef({ refused, recorder });
  latest.current = { refused, recorder };

  const outbox = useMemo(
    () =>
      new Outbox(api, {
        changed: setUploads,
        taken: (task, { alone }) => {
          setTurn((n) => n + 1);
          // who reads another transcript by now, or speaks, is not taken away from it
          if (alone && !taskIn(location.hash) && latest.current.recorder.seconds === null) go(task);
        },
        refused: (error) => latest.current.refused(error),
      }),
    [],
  );
  useEffect(() => outbox.use(api), [api]);

  const busy = recorder.seconds !== null || uploads.some(({ state, spoken }) => spoken || state !== "failed");
  useEffect(() => {
    tellWork("sending", busy);
    if (!busy) return;
    const ask = (event: BeforeUnloadEvent) => event.preventDefault(); // the browser asks whether to leave
    addEventListener("beforeunload", ask);
    return () => removeEventListener("beforeunload", ask);
  }, [busy]);

  return {
    fields,
    setFields,
    uploads,
    recorder,
    busy,
    turn,
    send: (files) => outbox.send([...files], fields),
    again: ({ id }) => outbox.again(id, fields),
    stop: (upload) => outbox.stop(upload),
    clear: () => {
      recorder.discard();
      outbox.clear();
    },
  };
}
