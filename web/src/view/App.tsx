// The page: a key, then recordings, or one of them.

import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { Api, type ApiError } from "../api/client";
import type { Model } from "../api/types";
import { saveKey, savedKey } from "../state/key";
import { useRoute } from "../state/route";
import { KeyDialog } from "./KeyDialog";
import { NewTask } from "./NewTask";
import { TaskList } from "./TaskList";
import { StopRecording } from "./StopRecording";
import { TaskView } from "./TaskView";
import { Uploads } from "./Uploads";
import { useDrop } from "./useDrop";
import { useSending } from "./useSending";
import { useTaskList } from "./useTaskList";

/** `root` is the path under which the server is reached. */
export function App({ root }: { root: string }) {
  const [entered, setEntered] = useState(() => ({ key: savedKey() }));
  const { key } = entered;
  const [asked, setAsked] = useState<{ reason: string | null } | null>(null);
  const [models, setModels] = useState<Model[]>([]);
  const { task, lost } = useRoute();
  const main = useRef<HTMLElement>(null);
  const api = useMemo(() => new Api(root, key), [root, entered]); // anew for the same key entered again;
  const refused = useCallback((error: ApiError) => setAsked({ reason: key ? error.message : null }), [key]);
  const sending = useSending(api, refused);
  const over = useDrop(sending.send);
  const list = useTaskList(api, task === null, sending.turn, refused);
  const enter = (given: string) => {
    saveKey(given);
    setEntered({ key: given });
    setAsked(null);
  };

  useEffect(() => {
    api.models().then(
      ({ data }) => setModels(data),
      (error: ApiError) => {
        if (error.status === 401) refused(error);
      },
    );
  }, [api]);
  useEffect(() => {
    if (task) scrollTo(0, 0);
    else document.title = "Transcripts";
    main.current?.focus({ preventScroll: true });
  }, [task]);

  return (
    <>
      <header class="top">
        <a class="home" href="#/">
          Transcripts
        </a>
        <nav aria-label="Service">
          <a href={`${root}/docs`}>API</a>
          {key && (
            <button
              type="button"
              class="link"
              onClick={() => {
                enter("");
                setAsked({ reason: null });
              }}
            >
              Forget key
            </button>
          )}
        </nav>
      </header>
      <main ref={main} tabIndex={-1}>
        {task ? (
          <>
            {sending.recorder.seconds !== null && <StopRecording {...sending.recorder} />}
            <Uploads {...sending} />
            <TaskView key={task} api={api} task={task} refused={refused} gone={() => list.drop(task)} />
          </>
        ) : (
          <>
            <h1 class="unseen">Transcripts</h1>
            {lost && (
              <p class="note bad" role="alert">
                No recording has this address. Look for it in the list below.
              </p>
            )}
            <NewTask sending={sending} models={models} over={over} />
            <TaskList list={list} />
          </>
        )}
      </main>
      {asked && <KeyDialog reason={asked.reason} enter={enter} />}
    </>
  );
}
