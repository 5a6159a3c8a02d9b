// Marks on text without elements of their own (CSS Custom Highlight API): there are many words, and they come and go
// fast. A browser that does not know it shows no marks, and all else is as it is.

export type Mark = "said" | "hit" | "current";

export function mark(name: Mark, ranges: Range[]): void {
  if (!CSS.highlights) return;
  if (!ranges.length) {
    CSS.highlights.delete(name);
    return;
  }
  const highlight = new Highlight(...ranges);
  highlight.priority = name === "current" ? 1 : 0;
  CSS.highlights.set(name, highlight);
}

export function idOf(segment: number): string {
  return `s-${segment}`;
}

/** A stretch of a segment's text as it is in the document, in characters; null where it is out of sight. */
export function rangeOf(segment: number, from: number, to: number): Range | null {
  const text = document.getElementById(idOf(segment))?.firstChild;
  if (!(text instanceof Text)) return null;
  const range = new Range();
  range.setStart(text, Math.min(from, text.length));
  range.setEnd(text, Math.min(to, text.length));
  return range;
}

/** Where in an element's text a point of the window is, in characters; null where it is not in it. */
export function characterAt(element: Element, x: number, y: number): number | null {
  const position = document.caretPositionFromPoint?.(x, y);
  if (position) return element.contains(position.offsetNode) ? position.offset : null;
  const range = document.caretRangeFromPoint?.(x, y);
  return range && element.contains(range.startContainer) ? range.startOffset : null;
}
