// What people put right in a transcript: kept as drafts until it is saved, and sent one after the other, for every answer
// is the whole transcript, and an older one must not come last.

import { useMemo, useRef, useState } from "preact/hooks";
import { ApiError, type Api } from "../api/client";
import type { Edits } from "../api/types";
import { isForgotten } from "../state/key";
import { keepDraft, keptDrafts, withDraft, type Draft } from "../state/drafts";
import type { Saves } from "../state/saves";
import { toRead, type Read } from "../text/words";

const FORGOTTEN = new ApiError(401, "The key was forgotten.");

interface Wanted {
  api: Api;
  task: string;
  saves: Saves;
  replace(read: Read): void;
  fail(sentence: string | null): void;
  refused(error: ApiError): void;
}

export function useEdits(wanted: Wanted) {
  const now = useRef(wanted);
  now.current = wanted; // an edit that waits for the one before is sent as things are by then
  const [drafts, setDrafts] = useState(() => keptDrafts(wanted.task));
  const latest = useRef(drafts);
  latest.current = drafts;
  const acts = useMemo(() => {
    const inTurn = <T>(act: () => Promise<T>) => now.current.saves.inTurn(now.current.task, act);

    /** Ask for the transcript, and show it; returns what is refused. */
    const shown = async (ask: (api: Api, task: string) => ReturnType<Api["transcript"]>): Promise<Read | ApiError> => {
      for (;;) {
        const { api, task } = now.current;
        if (isForgotten(api.key)) return FORGOTTEN;
        try {
          const read = toRead(await ask(api, task));
          now.current.replace(read);
          now.current.fail(null); // what did not work does so by now
          return read;
        } catch (error) {
          if (!(error instanceof ApiError)) throw error;
          if (error.status === 401 && api !== now.current.api) continue; // it was the key before that is wrong
          if (error.status === 401 && !isForgotten(api.key)) now.current.refused(error);
          return error;
        }
      }
    };
    const send = (edits: Edits) => shown((api, task) => api.edit(task, edits));

    /** Save a text; returns what is left to save. */
    const sent = async (id: number, { text, was }: Draft): Promise<Draft | null> => {
      const answer = await send({ segments: [{ id, text, was }] });
      if (!(answer instanceof ApiError)) return null;
      if (answer.status === 401) return { text, was }; // a key is asked for
      if (answer.status !== 409) return { text, was, fault: answer.message };
      const read = await shown((api, task) => api.transcript(task)); // somebody else has changed it
      if (read instanceof ApiError) return { text, was, fault: read.message };
      const there = read.segments.find((segment) => segment.id === id)?.text ?? was;
      return { text, was: there, fault: `${answer.message} Save again to put yours in its place.` };
    };

    /** Keep a draft; null where there is none any more. */
    const draft = (id: number, made: Draft | null) => {
      if (isForgotten(now.current.api.key)) return;
      keepDraft(now.current.task, id, made, latest.current);
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
      if (answer instanceof ApiError && answer.status !== 401) now.current.fail(answer.message);
      return !(answer instanceof ApiError);
    };
    return { draft, save, rename };
  }, []);
  return { drafts, ...acts };
}
