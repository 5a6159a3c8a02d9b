// A task as it goes on: its status and what is heard by its events, and its transcript once that is there.

import { useEffect, useState } from "preact/hooks";
import { ApiError, type Api } from "../api/client";
import { follow } from "../api/events";
import { FINAL, type Segment, type Status, type Waveform } from "../api/types";
import { patiently, rest } from "../api/waiting";
import type { Saves } from "../state/saves";
import { toRead, type Read } from "../text/words";

export interface Watched {
  status: Status | null;
  heard: Segment[];
  away: boolean;
  read: Read | null;
  waveform: Waveform | null;
  /** What the server refuses or can't do just now, a sentence. */
  error: string | null;
}

const LONGEST_SAVE = 5000; // milliseconds that one waits for

const NOTHING: Watched = { status: null, heard: [], away: false, read: null, waveform: null, error: null };

interface Wanted {
  api: Api;
  task: string;
  saves: Saves;
  turn: number;
  refused(error: ApiError): void;
}

/** Watch a task; with another `turn` anew. What is known of it is shown until more is. */
export function useTask({ api, task, saves, turn, refused }: Wanted) {
  const [watched, setWatched] = useState<Watched>(NOTHING);
  useEffect(() => {
    const stop = new AbortController();
    const set = (change: (old: Watched) => Partial<Watched>) => {
      if (!stop.signal.aborted) setWatched((old) => ({ ...old, ...change(old) }));
    };
    const got = <T>(ask: () => Promise<T>) => patiently(ask, (error) => set(() => ({ error })), stop.signal);
    const watch = async () => {
      let status = await got(() => api.status(task));
      set(() => (status.status === "completed" ? { status, error: null } : { ...NOTHING, status }));
      const listener = {
        status: (told: Status) => {
          status = told;
          set(() => ({ status, away: false }));
        },
        segment: (segment: Segment) => set(({ heard }) => ({ heard: withOnce(heard, segment), away: false })),
        away: () => set(() => ({ away: true })),
      };
      if (!FINAL.has(status.status)) await follow(api, task, listener, stop.signal);
      if (stop.signal.aborted || status.status !== "completed") return;
      await Promise.race([saves.settled(task), rest(LONGEST_SAVE, stop.signal)]); // what one has saved is to be in it
      const read = toRead(await got(() => api.transcript(task)));
      set(() => ({ read, error: null }));
      const waveform = await patiently(() => api.waveform(task), () => {}, stop.signal).catch(() => null);
      set(() => ({ waveform })); // without one there is the slider
    };
    watch().catch((error: unknown) => {
      if (stop.signal.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 401) refused(error);
      else set(() => ({ ...(error.status === 404 && NOTHING), error: error.message })); // what is there can be deleted
    });
    return () => stop.abort();
  }, [api, task, turn]);
  const replace = (read: Read) => setWatched((old) => ({ ...old, read }));
  return { watched, replace };
}

/** Add what is heard, but no second time: a server that was started again hears it anew. */
function withOnce(heard: Segment[], segment: Segment): Segment[] {
  const known = heard.some(({ start, text }) => start === segment.start && text === segment.text);
  return known ? heard : [...heard, segment];
}
