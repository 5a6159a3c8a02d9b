// The text of a segment, to be put right.

import { useState } from "preact/hooks";
import { clock } from "../text/time";
import type { Line } from "../text/words";

interface Props {
  segment: Line;
  /** What is selected at first, in characters. */
  selected: [number, number];
  save(id: number, text: string): Promise<boolean>;
  close(): void;
}

export function SegmentEditor({ segment, selected, save, close }: Props) {
  const [text, setText] = useState(segment.text);
  const [busy, setBusy] = useState(false);
  const keep = async () => {
    if (text.trim() === segment.text.trim()) return close();
    setBusy(true);
    if (await save(segment.id, text)) close();
    else setBusy(false);
  };
  return (
    <div class="editor">
      <textarea
        value={text}
        maxLength={4096}
        rows={Math.max(2, Math.ceil(text.length / 60))}
        aria-label={`Text at ${clock(segment.start)}`}
        disabled={busy}
        ref={(area) => {
          if (!area || area.dataset.ready) return;
          area.dataset.ready = "yes";
          area.focus();
          area.setSelectionRange(...selected);
        }}
        onInput={(event) => setText(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === "Escape") close();
          if (event.key === "Enter" && !event.shiftKey) {
            event.preventDefault();
            void keep();
          }
        }}
      />
      <p class="buttons">
        <button type="button" class="main" disabled={busy} onClick={() => void keep()}>
          Save
        </button>
        <button type="button" disabled={busy} onClick={close}>
          Cancel
        </button>
      </p>
    </div>
  );
}
