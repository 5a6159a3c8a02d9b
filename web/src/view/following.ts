// Whether the list follows what is played: until one scrolls elsewhere.

import { useLayoutEffect, useState } from "preact/hooks";
import { isForThePage } from "./keyboard";

const SCROLLING = new Set(["PageUp", "PageDown", "Home", "End"]);
const SLIDING = ".position, .waveform"; // a finger on them goes through the recording

export function useFollowing(playing: boolean): [following: boolean, follow: (following: boolean) => void] {
  const [following, follow] = useState(true);
  useLayoutEffect(() => {
    if (!playing) return;
    const stop = new AbortController();
    const { signal } = stop;
    const leave = () => follow(false);
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
  return [following, follow];
}
