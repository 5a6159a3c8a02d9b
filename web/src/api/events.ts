// A task's events, read by fetch so that the key stays in a header.

import { ApiError, type Api } from "./client";
import { events } from "./sse";
import { FINAL, type Segment, type State, type Status } from "./types";

const PAUSE = 2000; // milliseconds before another try, as browsers do

export interface Listener {
  status(status: Status): void;
  segment(segment: Segment): void;
  /** The connection is gone, and tried again. */
  away(): void;
}

/** Tell `listener` of a task until it has ended or `signal` aborts. Throws what the server refuses. */
export async function follow(api: Api, task: string, listener: Listener, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      const answer = await api.events(task, signal);
      for await (const { event, data } of events(answer.body!)) {
        if (event === "segment") {
          listener.segment(JSON.parse(data) as Segment);
          continue;
        }
        listener.status(JSON.parse(data) as Status);
        if (FINAL.has(event as State)) return;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ApiError && error.status && error.status < 500 && error.status !== 429) throw error;
    }
    if (signal.aborted) return;
    listener.away();
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
  }
}
