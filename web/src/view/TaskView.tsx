// One task: on its way, at its end, or its transcript.

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { ApiError, type Api } from "../api/client";
import { FINAL } from "../api/types";
import { forgetDrafts } from "../state/drafts";
import { go, taskIn } from "../state/route";
import type { Saves } from "../state/saves";
import { lasting, when } from "../text/time";
import { Done } from "./Done";
import { Leftover } from "./Leftover";
import { Progress } from "./Progress";
import { useTask } from "./useTask";

interface Props {
  api: Api;
  task: string;
  saves: Saves;
  refused(error: ApiError): void;
  /** It is deleted. */
  gone(): void;
}

export function TaskView({ api, task, saves, refused, gone }: Props) {
  const [turn, setTurn] = useState(0);
  const [fault, setFault] = useState<string | null>(null);
  const { watched, replace } = useTask({ api, task, saves, turn, refused });
  const { status, read } = watched;
  useEffect(() => {
    document.title = status ? `${status.filename} – Transcripts` : "Transcripts";
  }, [status?.filename]);
  useEffect(() => {
    if (!watched.away) setFault(null); // what did not work may do so now
  }, [watched.away, status?.status]);
  const title = useRef<HTMLHeadingElement>(null);
  const reached = useRef(status?.status);
  useLayoutEffect(() => {
    // what had the focus is gone with what the task was before
    if (reached.current && document.activeElement === document.body) title.current?.focus({ preventScroll: true });
    reached.current = status?.status;
  }, [status?.status]);
  const lookAnew = () => setTurn((old) => old + 1);
  const ask = (question: () => Promise<unknown>, then: () => void = () => {}) => {
    setFault(null);
    question().then(then, (error: unknown) => {
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 401) return refused(error);
      setFault(error.message);
      if (error.status === 404 || error.status === 409) lookAnew(); // it has changed elsewhere
    });
  };
  const ended = status && FINAL.has(status.status) && status.status !== "completed";
  const sentence = fault ?? watched.error;
  return (
    <>
      <nav class="path">
        <a href="#/">← All recordings</a>
      </nav>
      {status && (
        <header class="title">
          <h1 ref={title} tabIndex={-1} dir="auto">
            {status.filename}
          </h1>
          <p>
            {when(status.created_at)}
            {status.duration !== null && ` · ${lasting(status.duration)}`}
          </p>
          {FINAL.has(status.status) && (
            <button
              type="button"
              class="danger"
              onClick={() => {
                if (confirm(`Delete ${status.filename} with its recording and its transcript?`)) {
                  ask(() => api.remove(task), () => {
                    gone();
                    forgetDrafts(task);
                    if (taskIn(location.hash) === task) go(null);
                  });
                }
              }}
            >
              Delete
            </button>
          )}
        </header>
      )}
      <p class="unseen" role="status">
        {read && "The transcript is there."}
      </p>
      {sentence && (
        <p class="note bad" role="alert">
          {sentence}
        </p>
      )}
      {sentence && !read && (!status || status.status === "completed") && <Leftover task={task} />}
      {status && !FINAL.has(status.status) && (
        <Progress status={status} heard={watched.heard} away={watched.away} cancel={() => ask(() => api.cancel(task))} />
      )}
      {ended && (
        <section class="card ended" role="alert">
          <h2>{status.status === "failed" ? "This did not work" : "Cancelled"}</h2>
          <p>{status.error ?? "It was stopped before it was done."}</p>
          <button type="button" class="main" onClick={() => ask(() => api.retry(task), lookAnew)}>
            Try again
          </button>
        </section>
      )}
      {status && read && (
        <Done api={api} status={status} read={read} waveform={watched.waveform} saves={saves} replace={replace} fail={setFault} refused={refused} />
      )}
      {status?.status === "completed" && !read && !sentence && <p aria-busy="true">Fetching the transcript …</p>}
    </>
  );
}
