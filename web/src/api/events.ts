// A task's events, read by fetch so that the key stays in a header, and only while the page is seen: browsers open six
// connections to a server for all their tabs together, unless it speaks HTTP/2.

import { ApiError, type Api } from "./client";
import { events } from "./sse";
import { FINAL, type Segment, type State, type Status } from "./types";
import { rest, seen, whileSeen } from "./waiting";

const PAUSE = 2000; // milliseconds before another try, as browsers do

export interface Listener {
  status(status: Status): void;
  segment(segment: Segment): void;
  /** The connection is gone, and tried again. */
  away(): void;
}

/** Tell `listener` of a task until it has ended or `signal` aborts. Throws what the server refuses. */
export async function follow(api: Api, task: string, listener: Listener, signal: AbortSignal): Promise<void> {
  for (;;) {
    await seen(signal);
    if (signal.aborted) return;
    const stream = whileSeen(signal);
    try {
      if (await listened(api, task, listener, stream.signal)) return;
    } catch (error) {
      if (stream.signal.aborted) continue; // put away, not lost
      if (error instanceof ApiError && !error.passing) throw error;
    } finally {
      stream.abort();
    }
    listener.away();
    await rest(PAUSE, signal);
  }
}

/** Pass on one stream, whose first event is how the task is by now; return whether the task has ended. */
async function listened(api: Api, task: string, listener: Listener, signal: AbortSignal): Promise<boolean> {
  const answer = await api.events(task, signal);
  for await (const { event, data } of events(answer.body!)) {
    if (event === "segment") {
      listener.segment(JSON.parse(data) as Segment);
      continue;
    }
    listener.status(JSON.parse(data) as Status);
    if (FINAL.has(event as State)) return true;
  }
  return false;
}
