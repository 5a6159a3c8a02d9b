// Control by keys, wherever one is on the page but in a field.

import { useEffect } from "preact/hooks";
import type { Playback } from "../player/playback";
import { JUMP } from "../player/Player";
import { placeAt, type Place, type Read } from "../text/words";

export const KEYS = [
  ["Space", "play, pause"],
  ["← →", `${JUMP} s back, ahead`],
  ["↑ ↓", "segment before, after"],
  ["Shift + ← →", "word before, after"],
  ["/", "search"],
] as const;

const OWN = "input, textarea, select, button, a, [contenteditable]"; // what means something else by a key itself
const FIELD = "input, textarea, select";

/** Whether a key is meant for the page: not for a field, nor for the browser. */
export function isForThePage({ ctrlKey, metaKey, altKey, target }: KeyboardEvent): boolean {
  return !(ctrlKey || metaKey || altKey || (target as Element).closest(FIELD));
}

export function useKeyboard(playback: Playback, read: Read): void {
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      const act = isForThePage(event) ? actions(event, playback, read) : null;
      if (!act || (event.key === " " && (event.target as Element).closest(OWN))) return;
      event.preventDefault();
      act();
    };
    document.addEventListener("keydown", pressed);
    return () => document.removeEventListener("keydown", pressed);
  }, [playback, read]);
}

function actions({ key, shiftKey }: KeyboardEvent, playback: Playback, read: Read): (() => void) | null {
  const now = playback.audio.currentTime;
  const place = placeAt(read, now);
  const to = (time: number | undefined) => () => time !== undefined && playback.seek(time);
  if (key === " ") return () => playback.toggle();
  if (key === "/") return () => document.getElementById("search")?.focus();
  if (key === "ArrowUp") return to(read.starts[Math.max(0, (place?.segment ?? 0) - 1)]);
  if (key === "ArrowDown") return to(read.starts[place ? place.segment + 1 : 0]);
  if (key === "ArrowLeft") return to(shiftKey ? word(read, place, -1) : now - JUMP);
  if (key === "ArrowRight") return to(shiftKey ? word(read, place, +1) : now + JUMP);
  return null;
}

/** When the word before or after a place begins; undefined where there is none. */
function word({ words }: Read, place: Place | null, by: 1 | -1): number | undefined {
  if (!place) return by > 0 ? words.starts[0] : undefined;
  if (place.word >= 0) return words.starts[place.word + by];
  const next = words.first[place.segment]!; // it is before its segment's first word
  return words.starts[by > 0 ? next : next - 1];
}
