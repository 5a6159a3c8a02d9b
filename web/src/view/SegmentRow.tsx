// One segment: its speaker, its time, its text. A click on a word plays it; a double click puts the text right.

import { useLayoutEffect, useRef } from "preact/hooks";
import type { Draft } from "../state/drafts";
import { languageTag } from "../text/languages";
import { clock } from "../text/time";
import { wordAt, type Read } from "../text/words";
import { SegmentEditor } from "./SegmentEditor";
import { characterAt, idOf } from "./marks";

export interface Acts {
  play(time: number): void;
  pause(): void;
  /** Keep what is typed into a segment; null closes its editor. */
  draft(id: number, draft: Draft | null): void;
  save(id: number, draft: Draft): Promise<void>;
}

interface Props {
  read: Read;
  index: number;
  speaker: string;
  colour: string;
  /** Whether the one before is another's. */
  begins: boolean;
  /** What is there in place of its text, to be saved. */
  draft: Draft | undefined;
  acts: Acts;
}

export function SegmentRow({ read, index, speaker, colour, begins, draft, acts }: Props) {
  const segment = read.segments[index]!;
  const lang = languageTag(segment.language ?? read.language);
  const begun = useRef<{ selected: [number, number]; byWord: boolean } | null>(null);
  const button = useRef<HTMLButtonElement>(null);
  const open = draft !== undefined;
  const wasOpen = useRef(open);
  useLayoutEffect(() => {
    // the button has the focus again; who came by a double click had none, and plays on by Space
    const left = wasOpen.current && !open && document.activeElement === document.body;
    if (left && !begun.current?.byWord) button.current!.focus({ preventScroll: true });
    wasOpen.current = open;
  }, [open]);
  const edit = (start: number, end: number, byWord: boolean) => {
    acts.pause(); // the first click of two has begun to play
    begun.current = { selected: [start, end], byWord };
    acts.draft(segment.id, { text: segment.text, was: segment.text });
  };
  const word = (event: MouseEvent) => {
    const character = characterAt(event.currentTarget as Element, event.clientX, event.clientY);
    return character === null ? -1 : wordAt(read, index, character);
  };
  const clicked = (event: MouseEvent) => {
    if (!getSelection()?.isCollapsed) return; // who selects text does not want to hear it
    const found = word(event);
    acts.play(found < 0 ? segment.start : read.words.starts[found]!);
  };
  const twice = (event: MouseEvent) => {
    const found = word(event);
    edit(found < 0 ? 0 : read.words.from[found]!, found < 0 ? segment.text.length : read.words.to[found]!, true);
  };
  return (
    <div class={`segment ${colour}${begins ? " begins" : ""}`}>
      {begins && speaker && (
        <p class="who" dir="auto">
          {speaker}
        </p>
      )}
      <button type="button" class="at" onClick={() => acts.play(segment.start)} aria-label={`Play from ${clock(segment.start)}`}>
        {clock(segment.start)}
      </button>
      {draft ? (
        <SegmentEditor
          label={`Text at ${clock(segment.start)}`}
          lang={lang}
          draft={draft}
          selected={begun.current?.selected ?? null}
          change={(text) => acts.draft(segment.id, { ...draft, text })}
          save={() => void acts.save(segment.id, draft)}
          close={() => acts.draft(segment.id, null)}
        />
      ) : (
        <>
          <p class="text" dir="auto" lang={lang} id={idOf(segment.id)} onClick={clicked} onDblClick={twice}>
            {segment.text || <span class="empty">No text</span>}
          </p>
          <button
            type="button"
            class="edit"
            ref={button}
            onClick={() => edit(segment.text.length, segment.text.length, false)}
            aria-label={`Edit the text at ${clock(segment.start)}`}
          >
            Edit
          </button>
        </>
      )}
    </div>
  );
}

