// The recordings sent before, newest first. As long as one is on its way the list is looked at again.

import { useEffect, useState } from "preact/hooks";
import { ApiError, type Api } from "../api/client";
import { FINAL, type Status } from "../api/types";
import { lasting, when } from "../text/time";

const LOOK = 3000; // milliseconds between two looks

const WORDS = { pending: "Waiting", processing: "In work", completed: "Done", failed: "Failed", cancelled: "Cancelled" };

interface Props {
  api: Api;
  /** Changes when a task was sent. */
  turn: number;
  refused(error: ApiError): void;
}

export function TaskList({ api, turn, refused }: Props) {
  const [tasks, setTasks] = useState<Status[] | null>(null);
  const [cursor, setCursor] = useState<string | null>(null);
  const [error, setError] = useState<string | null>(null);
  const fail = (fault: unknown) => {
    if (!(fault instanceof ApiError)) throw fault;
    if (fault.status === 401) refused(fault);
    setError(fault.message);
  };
  useEffect(() => {
    let over = false;
    let timer = 0;
    const look = async () => {
      try {
        const page = await api.tasks();
        if (over) return;
        setError(null);
        setTasks((old) => merged(page.tasks, old ?? []));
        setCursor((old) => old ?? page.next_cursor);
        if (!page.tasks.some(({ status }) => !FINAL.has(status))) return;
      } catch (fault) {
        if (over) return;
        fail(fault);
        if ((fault as ApiError).status === 401) return;
      }
      timer = window.setTimeout(look, LOOK);
    };
    void look();
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [api, turn]);
  const more = async () => {
    try {
      const page = await api.tasks(cursor);
      setTasks((old) => [...(old ?? []), ...page.tasks]);
      setCursor(page.next_cursor ?? "");
    } catch (fault) {
      fail(fault);
    }
  };
  return (
    <section class="card" aria-labelledby="tasks">
      <h2 id="tasks">Recordings</h2>
      {error && (
        <p class="note bad" role="alert">
          {error}
        </p>
      )}
      {tasks?.length === 0 && <p class="empty">None yet.</p>}
      <ul class="tasks">
        {tasks?.map((task) => (
          <li key={task.task_id}>
            <a href={`#/task/${task.task_id}`}>
              <span class="file">{task.filename}</span>
              <span class="facts">
                {when(task.created_at)}
                {task.duration !== null && ` · ${lasting(task.duration)}`}
              </span>
              <span class={`state ${task.status}`}>
                {task.status === "processing" ? `${Math.floor(task.progress)} %` : WORDS[task.status]}
              </span>
            </a>
          </li>
        ))}
      </ul>
      {cursor && (
        <button type="button" onClick={() => void more()}>
          Show more
        </button>
      )}
    </section>
  );
}

/** The newest page, and behind it what was shown below it before. */
function merged(page: Status[], old: Status[]): Status[] {
  const last = page.at(-1)?.task_id;
  const place = old.findIndex(({ task_id }) => task_id === last);
  return place < 0 ? page : [...page, ...old.slice(place + 1)];
}
