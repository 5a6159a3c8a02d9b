// The recordings sent before, newest first.

import { useLayoutEffect } from "preact/hooks";
import { lasting, when } from "../text/time";
import type { Listed } from "./useTaskList";

const WORDS = { pending: "Waiting", processing: "In work", completed: "Done", failed: "Failed", cancelled: "Cancelled" };

export function TaskList({ list }: { list: Listed }) {
  const { tasks, more, error, showMore, place } = list;
  useLayoutEffect(() => {
    scrollTo(0, place.current);
    const keep = () => (place.current = scrollY);
    addEventListener("scroll", keep, { passive: true });
    return () => removeEventListener("scroll", keep);
  }, []);
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
      {more && (
        <button type="button" onClick={showMore}>
          Show more
        </button>
      )}
    </section>
  );
}
