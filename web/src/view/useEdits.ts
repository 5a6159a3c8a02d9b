// What people put right in a transcript: kept as drafts until it is saved, and sent one after the other, for every answer
// is the whole transcript, and an older one must not come last.

import { useMemo, useRef, useState } from "preact/hooks";
import { ApiError, type Api } from "../api/client";
import type { Edits } from "../api/types";
import { keepDraft, keptDrafts, withDraft, type Draft } from "../state/drafts";
import { toRead, type Read } from "../text/words";

interface Wanted {
  api: Api;
  task: string;
  replace(read: Read): void;
  fail(sentence: string | null): void;
  refused(error: ApiError): void;
}

export function useEdits(wanted: Wanted) {
  const now = useRef(wanted);
  now.current = wanted; // an edit that waits for the one before is sent as things are by then
  const [drafts, setDrafts] = useState(() => keptDrafts(wanted.task));
  const acts = useMemo(() => {
    const inTurn = turns();

    /** Ask for the transcript, and show it; returns what is refused. */
    const shown = async (ask: (api: Api, task: string) => ReturnType<Api["transcript"]>): Promise<Read | ApiError> => {
      try {
        const read = toRead(await ask(now.current.api, now.current.task));
        now.current.replace(read);
        return read;
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        if (error.status === 401) now.current.refused(error);
        return error;
      }
    };
    const send = (edits: Edits) => shown((api, task) => api.edit(task, edits));

    /** Save a text; returns what is left to save. */
    const sent = async (id: number, { text, was }: Draft): Promise<Draft | null> => {
      const answer = await send({ segments: [{ id, text, was }] });
      if (!(answer instanceof ApiError)) return null;
      if (answer.status !== 409) return { text, was, fault: answer.message };
      const read = await shown((api, task) => api.transcript(task)); // somebody else has changed it
      if (read instanceof ApiError) return { text, was, fault: read.message };
      const there = read.segments.find((segment) => segment.id === id)?.text ?? was;
      return { text, was: there, fault: `${answer.message} Save again to put yours in its place.` };
    };

    /** Keep a draft; null where there is none any more. */
    const draft = (id: number, made: Draft | null) => {
      keepDraft(now.current.task, id, made);
      setDrafts((old) => withDraft(old, id, made));
    };

    const save = async (id: number, made: Draft): Promise<void> => {
      if (made.text.trim() === made.was.trim()) return draft(id, null);
      draft(id, { ...made, busy: true });
      draft(id, await inTurn(() => sent(id, made)));
    };

    /** Name a speaker; false where that is refused. */
    const rename = async (id: string, name: string): Promise<boolean> => {
      now.current.fail(null);
      const answer = await inTurn(() => send({ speakers: { [id]: name } }));
      if (answer instanceof ApiError) now.current.fail(answer.message);
      return !(answer instanceof ApiError);
    };
    return { draft, save, rename };
  }, []);
  return { drafts, ...acts };
}

/** Make a queue that does one thing after the other. */
function turns() {
  let last: Promise<unknown> = Promise.resolve();
  return <T>(act: () => Promise<T>): Promise<T> => {
    const done = last.then(act);
    last = done.catch(() => {}); // who asked for it hears of it
    return done;
  };
}
