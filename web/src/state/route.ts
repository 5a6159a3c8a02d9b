// Where in the page one is: `#/` for the list of tasks, `#/task/ID` for one. A reload comes back to it.

import { useEffect, useState } from "preact/hooks";

export function taskIn(hash: string): string | null {
  return /^#\/task\/([0-9a-f-]{36})$/.exec(hash)?.[1] ?? null;
}

export function go(task: string | null): void {
  location.hash = task ? `#/task/${task}` : "#/";
}

/** The task whose page it is, null for the list. */
export function useRoute(): string | null {
  const [task, setTask] = useState(taskIn(location.hash));
  useEffect(() => {
    const changed = () => setTask(taskIn(location.hash));
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return task;
}
