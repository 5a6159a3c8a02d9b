// Where in the page one is: `#/` for the list of tasks, `#/task/ID` for one. A reload comes back to it.

import { useEffect, useState } from "preact/hooks";

export interface Route {
  /** The task whose page it is, null for the list. */
  task: string | null;
  /** Whether the address is none of the page's. */
  lost: boolean;
}

export function taskIn(hash: string): string | null {
  return /^#\/task\/([0-9a-f-]{36})$/.exec(hash)?.[1] ?? null;
}

export function go(task: string | null): void {
  location.hash = task ? `#/task/${task}` : "#/";
}

export function useRoute(): Route {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const changed = () => setHash(location.hash);
    changed(); // it may have been before this listened
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  const place = hash.replace(/[#&]key=.*/, ""); // that is taken out in a moment
  const task = taskIn(place);
  return { task, lost: task === null && !["", "#", "#/"].includes(place) };
}
