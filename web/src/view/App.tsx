// The page: a key, then recordings, or one of them.

import { useEffect, useMemo, useRef } from "preact/hooks";
import { hasDrafts } from "../state/drafts";
import { whenForgotten } from "../state/key";
import { useRoute } from "../state/route";
import { Saves } from "../state/saves";
import { useKey } from "../state/useKey";
import { isWorkElsewhere } from "../state/work";
import { KeyDialog } from "./KeyDialog";
import { Meanwhile } from "./Meanwhile";
import { NewTask } from "./NewTask";
import { TaskList } from "./TaskList";
import { TaskView } from "./TaskView";
import { useDrop } from "./useDrop";
import { useModels } from "./useModels";
import { useSending } from "./useSending";
import { useTaskList } from "./useTaskList";

const LOST = "What is recorded or being sent is lost in all tabs, and so are texts that are not saved. Forget the key?";

/** `root` is the path under which the server is reached, `first` the key to begin with. */
export function App({ root, first }: { root: string; first: string }) {
  const { api, asked, forgotten, refused, enter, forget } = useKey(root, first);
  const models = useModels(api, refused);
  const { task, lost } = useRoute();
  const main = useRef<HTMLElement>(null);
  const sending = useSending(api, refused);
  const saves = useMemo(() => new Saves(), []);
  const over = useDrop(sending.send);
  const list = useTaskList(api, task === null, sending.turn, refused);
  const leave = () => {
    sending.clear();
    forget();
  };
  const isLeft = () => !(sending.busy || hasDrafts() || isWorkElsewhere()) || confirm(LOST);
  const leaving = useRef(leave);
  leaving.current = leave;
  useEffect(() => whenForgotten(() => leaving.current()), []);

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
          {api.key && (
            <button type="button" class="link" onClick={() => isLeft() && leave()}>
              Forget key
            </button>
          )}
        </nav>
      </header>
      <main key={forgotten} ref={main} tabIndex={-1}>
        {task ? (
          <>
            <Meanwhile {...sending} />
            <TaskView key={task} api={api} task={task} saves={saves} refused={refused} gone={() => list.drop(task)} />
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
