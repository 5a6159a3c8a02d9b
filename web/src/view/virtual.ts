// A list of which only the rows in sight are in the document, so that ten hours scroll as one minute does.

import {
  Virtualizer, defaultRangeExtractor, measureElement, observeWindowOffset, observeWindowRect, windowScroll, type Range,
  type VirtualizerOptions,
} from "@tanstack/virtual-core";
import { useEffect, useLayoutEffect, useReducer, useRef } from "preact/hooks";
import { isForThePage } from "./keyboard";

const OVERSCAN = 6; // rows above and below what is seen

interface Wanted {
  count: number;
  /** Height of a row that was not measured yet, in pixels. */
  estimate(index: number): number;
  /** Where the list begins in the document, in pixels. */
  margin: number;
  /** How much of the window's top is covered, in pixels. */
  covered: number;
}

/** The rows in sight, and the one that has the focus: who types into it goes on, wherever the list is. */
function withFocused(range: Range): number[] {
  const rows = defaultRangeExtractor(range);
  const focused = Number(document.activeElement?.closest<HTMLElement>(".row")?.dataset.index ?? NaN);
  if (!(focused < range.count) || rows.includes(focused)) return rows;
  return [...rows, focused].sort((one, other) => one - other);
}

export type Rows = Virtualizer<Window, HTMLDivElement>;

export function useRows({ count, estimate, margin, covered }: Wanted): Rows {
  const [, again] = useReducer((n: number) => n + 1, 0);
  const options: VirtualizerOptions<Window, HTMLDivElement> = {
    count,
    estimateSize: estimate,
    scrollMargin: margin,
    scrollPaddingStart: covered / 2, // what is put in the middle is so in what is left of the window
    overscan: OVERSCAN,
    rangeExtractor: withFocused,
    getScrollElement: () => window,
    observeElementRect: observeWindowRect,
    observeElementOffset: observeWindowOffset,
    scrollToFn: windowScroll,
    measureElement,
    initialOffset: () => window.scrollY,
    onChange: () => again(0),
  };
  const made = useRef<Rows | null>(null);
  const rows = (made.current ??= new Virtualizer(options));
  rows.setOptions(options);
  useLayoutEffect(() => rows._didMount(), [rows]);
  useLayoutEffect(() => rows._willUpdate());
  useEffect(() => {
    // how high the last rows are is known once they were seen: by itself the browser stops short of them
    const pressed = (event: KeyboardEvent) => {
      if (event.key !== "End" || !count || !isForThePage(event)) return;
      event.preventDefault();
      rows.scrollToIndex(count - 1, { align: "end" });
    };
    document.addEventListener("keydown", pressed);
    return () => document.removeEventListener("keydown", pressed);
  }, [rows, count]);
  return rows;
}
