// The recordings sent before, newest first.

import { useLayoutEffect, useRef } from "preact/hooks";
import { lasting, when } from "../text/time";
import type { Listed } from "./useTaskList";

const WORDS = { pending: "Waiting", processing: "In work", completed: "Done", failed: "Failed", cancelled: "Cancelled" };

export function TaskList({ list }: { list: Listed }) {
  const { tasks, more, error, showMore, place } = list;
  const rows = useRef<HTMLUListElement>(null);
  const shown = useRef<number | null>(null); // how many there were when more were asked for
  const count = tasks?.length ?? 0;
  useLayoutEffect(() => {
    if (shown.current === null || count <= shown.current) return;
    rows.current!.children[shown.current]!.querySelector("a")!.focus({ preventScroll: true }); // one reads on there
    shown.current = null;
  }, [count]);
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
      <ul class="tasks" ref={rows}>
        {tasks?.map((task) => (
          <li key={task.task_id}>
            <a href={`#/task/${task.task_id}`}>
              <span class="file" dir="auto">
                {task.filename}
              </span>
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
        <button
          type="button"
          onClick={() => {
            shown.current = count;
            showMore();
          }}
        >
          Show more
        </button>
      )}
    </section>
  );
}
