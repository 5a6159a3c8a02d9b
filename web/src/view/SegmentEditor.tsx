// The text of a segment, to be put right.

import { useLayoutEffect, useRef } from "preact/hooks";
import type { Draft } from "../state/drafts";
import { isComposing } from "./composing";

interface Props {
  label: string;
  lang: string;
  draft: Draft;
  /** What is selected at first, in characters; null where it was open before, and the focus is elsewhere. */
  selected: [number, number] | null;
  change(text: string): void;
  save(): void;
  close(): void;
}

export function SegmentEditor({ label, lang, draft, selected, change, save, close }: Props) {
  const { text, busy, fault } = draft;
  const area = useRef<HTMLTextAreaElement>(null);
  useLayoutEffect(() => {
    if (!selected) return;
    area.current!.focus();
    area.current!.setSelectionRange(...selected);
  }, []);
  useLayoutEffect(() => {
    const { scrollHeight, clientHeight, offsetHeight, style } = area.current!;
    if (scrollHeight > clientHeight) style.height = `${scrollHeight + offsetHeight - clientHeight}px`;
  }, [text]);
  // nothing is disabled while it is saved, for that would take the focus away
  const unlessBusy = (act: () => void) => () => {
    if (!busy) act();
  };
  const [keep, leave] = [unlessBusy(save), unlessBusy(close)];
  return (
    <div class="editor" aria-busy={busy}>
      <textarea
        value={text}
        rows={2}
        aria-label={label}
        dir="auto"
        lang={lang}
        readOnly={busy}
        ref={area}
        onInput={(event) => change(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (isComposing(event)) return;
          if (event.key === "Escape") leave();
          if (event.key === "Enter" && !event.shiftKey) {
            event.preventDefault();
            keep();
          }
        }}
      />
      {fault && (
        <p class="note bad" role="alert">
          {fault}
        </p>
      )}
      <p class="buttons">
        <button type="button" class="main" aria-disabled={busy} onClick={keep}>
          Save
        </button>
        <button type="button" aria-disabled={busy} onClick={leave}>
          Cancel
        </button>
      </p>
    </div>
  );
}
