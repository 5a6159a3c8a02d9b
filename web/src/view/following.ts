// Whether the list follows what is played: until one scrolls elsewhere.

import { useLayoutEffect, useState } from "preact/hooks";
import { isForThePage } from "./keyboard";

const SCROLLING = new Set(["PageUp", "PageDown", "Home", "End"]);
const SLIDING = ".position, .waveform"; // a finger on them goes through the recording

export interface Following {
  following: boolean;
  /** Switch it on or off: what is off stays so. */
  follow(wanted: boolean): void;
  /** Follow again, unless it is off. */
  come(): void;
  /** Follow no more until one plays from another place. */
  leave(): void;
}

export function useFollowing(playing: boolean): Following {
  const [state, set] = useState<"on" | "away" | "off">("on");
  const leave = () => set((now) => (now === "off" ? now : "away"));
  const come = () => set((now) => (now === "off" ? now : "on"));
  useLayoutEffect(() => {
    if (!playing) return;
    const stop = new AbortController();
    const { signal } = stop;
    const pressed = (event: KeyboardEvent) => {
      const scrolls = SCROLLING.has(event.key) || (event.key === " " && event.shiftKey);
      if (scrolls && isForThePage(event)) leave();
    };
    const moved = ({ target }: TouchEvent) => !(target as Element).closest(SLIDING) && leave();
    const onScrollbar = ({ clientX }: PointerEvent) => clientX >= document.documentElement.clientWidth && leave();
    addEventListener("wheel", leave, { passive: true, signal });
    addEventListener("touchmove", moved, { passive: true, signal });
    addEventListener("keydown", pressed, { signal });
    addEventListener("pointerdown", onScrollbar, { signal });
    return () => stop.abort();
  }, [playing]);
  return { following: state === "on", follow: (wanted) => set(wanted ? "on" : "off"), come, leave };
}
