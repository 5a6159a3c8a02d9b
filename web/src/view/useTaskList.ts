// The list of tasks, kept while one of them is looked at: who comes back finds it as it was.

import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError, type Api } from "../api/client";
import { FINAL, type Status } from "../api/types";
import { rest, seen, trying } from "../api/waiting";

const STEP = 50; // tasks more each time
const MOST = 200; // tasks that the server gives at once
const SOON = 3000; // milliseconds between two looks while a task is on its way
const LATER = 20_000; // else: somebody may send one from elsewhere

interface Found {
  tasks: Status[];
  /** Whether there are others, older ones. */
  more: boolean;
}

export interface Listed {
  /** Newest first; null as long as nothing is known. */
  tasks: Status[] | null;
  more: boolean;
  error: string | null;
  showMore(): void;
  /** Leave a task out that is deleted. */
  drop(task: string): void;
  /** How far it is scrolled, in pixels. */
  place: { current: number };
}

/** Look again and again as long as the list is `shown` and the page seen; with another `turn` at once. */
export function useTaskList(api: Api, shown: boolean, turn: number, refused: (error: ApiError) => void): Listed {
  const [known, setKnown] = useState<(Found & { api: Api }) | null>(null);
  const [count, setCount] = useState(STEP);
  const [error, setError] = useState<string | null>(null);
  const place = useRef(0);
  useEffect(() => {
    if (!shown) return;
    const stop = new AbortController();
    const look = async (): Promise<number> => {
      try {
        const found = await newest(api, count);
        if (stop.signal.aborted) return 0;
        setKnown({ ...found, api });
        setError(null);
        return found.tasks.some(({ status }) => !FINAL.has(status)) ? SOON : LATER;
      } catch (fault) {
        if (!(fault instanceof ApiError)) throw fault;
        if (stop.signal.aborted) return 0;
        if (fault.status === 401) {
          refused(fault);
          stop.abort();
        } else setError(fault.passing ? trying(fault) : fault.message);
        return fault.passing ? SOON : LATER;
      }
    };
    const watch = async () => {
      await seen(stop.signal);
      while (!stop.signal.aborted) await rest(await look(), stop.signal);
    };
    void watch();
    return () => stop.abort();
  }, [api, shown, turn, count]);
  const { tasks, more } = known?.api === api ? known : { tasks: null, more: false }; // another key has other tasks
  const showMore = () => setCount(count + STEP);
  const drop = (task: string) =>
    setKnown((old) => old && { ...old, tasks: old.tasks.filter(({ task_id }) => task_id !== task) });
  return { tasks, more, error, showMore, drop, place };
}

/** The newest so many tasks: all anew, for any of them may have changed, or be gone. */
async function newest(api: Api, count: number): Promise<Found> {
  const tasks: Status[] = [];
  let cursor: string | null = null;
  do {
    const page = await api.tasks(Math.min(count - tasks.length, MOST), cursor);
    tasks.push(...page.tasks);
    cursor = page.next_cursor;
  } while (cursor && tasks.length < count);
  return { tasks, more: cursor !== null };
}
