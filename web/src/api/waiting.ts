// Waiting: for a while, for somebody to look at the page, or for a server that is away.

import { ApiError, NO_ANSWER } from "./client";

const FIRST = 1000; // milliseconds before another try; each time twice as long
const LONGEST = 10_000;

/** Wait until the page is seen. This ends, as all here does, when `signal` aborts. */
export async function seen(signal: AbortSignal): Promise<void> {
  while (document.visibilityState === "hidden" && !signal.aborted) await change(signal);
}

/** Wait so many milliseconds, less where somebody comes back to the page, and longer as long as nobody sees it. */
export async function rest(milliseconds: number, signal: AbortSignal): Promise<void> {
  await change(signal, milliseconds);
  await seen(signal);
}

/** What aborts with `signal`, and as soon as the page is hidden. Who is done with it aborts it too. */
export function whileSeen(signal: AbortSignal): AbortController {
  const stop = new AbortController();
  const look = () => {
    if (signal.aborted || document.visibilityState === "hidden") stop.abort();
  };
  signal.addEventListener("abort", look, { signal: stop.signal });
  document.addEventListener("visibilitychange", look, { signal: stop.signal });
  look();
  return stop;
}

/** Ask until there is an answer. `say` is told what to say meanwhile; what does not pass by itself is thrown. */
export async function patiently<T>(ask: () => Promise<T>, say: (sentence: string) => void, signal: AbortSignal): Promise<T> {
  for (let pause = FIRST; ; pause = Math.min(2 * pause, LONGEST)) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof ApiError && error.passing)) throw error;
      say(trying(error));
    }
    await rest(pause, signal);
    signal.throwIfAborted();
  }
}

/** What to say of a fault while the page tries again by itself. */
export function trying(error: ApiError): string {
  return `${error.status ? error.message : NO_ANSWER} Trying again …`;
}

/** Wait until one looks at the page or away, the network is back, or so many milliseconds have passed. */
function change(signal: AbortSignal, milliseconds?: number): Promise<void> {
  return new Promise((resolve) => {
    const over = new AbortController();
    const end = () => {
      clearTimeout(timer);
      over.abort();
      resolve();
    };
    const timer = milliseconds === undefined ? undefined : setTimeout(end, milliseconds);
    for (const event of ["focus", "online"]) addEventListener(event, end, { signal: over.signal });
    document.addEventListener("visibilitychange", end, { signal: over.signal });
    signal.addEventListener("abort", end, { signal: over.signal });
    if (signal.aborted) end();
  });
}
