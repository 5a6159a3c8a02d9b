// Control by keys, wherever one is on the page but in a field.

import { useEffect } from "preact/hooks";
import type { Playback } from "../player/playback";
import { JUMP } from "../player/Player";
import { segmentFrom, wordFrom, type Read } from "../text/words";

export const KEYS = [
  ["Space", "play, pause"],
  ["← →", `${JUMP} s back, ahead`],
  ["↑ ↓", "segment before, after"],
  ["Shift + ← →", "word before, after"],
  ["/", "search"],
] as const;

const FIELD = 'input:not([type="checkbox"]), textarea, select';
/** What means something else by Space itself. A slider means nothing, and Enter plays from a segment's time as well. */
const PRESSED = 'input:not([type="range"]), textarea, select, button:not(.at), summary, a, [contenteditable]';

/** Whether a key is meant for the page: not for a field, nor for the browser. */
export function isForThePage({ key, ctrlKey, metaKey, altKey, target }: KeyboardEvent): boolean {
  return !(ctrlKey || metaKey || altKey || (target as Element).closest(key === " " ? PRESSED : FIELD));
}

export function useKeyboard(playback: Playback, read: Read): void {
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      const act = isForThePage(event) ? actions(event, playback, read) : null;
      if (!act) return;
      event.preventDefault();
      act();
    };
    document.addEventListener("keydown", pressed);
    return () => document.removeEventListener("keydown", pressed);
  }, [playback, read]);
}

function actions({ key, shiftKey, repeat }: KeyboardEvent, playback: Playback, read: Read): (() => void) | null {
  const now = playback.audio.currentTime;
  const to = (time: number | undefined) => () => time !== undefined && playback.seek(time);
  if (key === " ") return shiftKey ? null : () => repeat || playback.toggle(); // Shift + Space scrolls
  if (key === "/") return () => document.getElementById("search")?.focus();
  if (key === "ArrowUp") return to(segmentFrom(read, now, -1));
  if (key === "ArrowDown") return to(segmentFrom(read, now, +1));
  if (key === "ArrowLeft") return to(shiftKey ? wordFrom(read, now, -1) : now - JUMP);
  if (key === "ArrowRight") return to(shiftKey ? wordFrom(read, now, +1) : now + JUMP);
  return null;
}
