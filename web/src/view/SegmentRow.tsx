// One segment: its speaker, its time, its words. A click on a word plays it; a double click puts its text right.

import type { ComponentChildren } from "preact";
import { useMemo, useState } from "preact/hooks";
import type { Segment } from "../api/types";
import type { Hit } from "../text/search";
import { clock } from "../text/time";
import { spans } from "../text/words";

interface Props {
  segment: Segment;
  speaker: string;
  colour: string;
  /** Whether the one before is another's. */
  begins: boolean;
  hits: readonly Hit[];
  hit: Hit | null;
  play(time: number): void;
  pause(): void;
  save(id: number, text: string): Promise<boolean>;
}

export function SegmentRow(props: Props) {
  const { segment, speaker, colour, begins } = props;
  const [selected, setSelected] = useState<[number, number] | null>(null);
  const edit = (start: number, end: number) => {
    props.pause(); // the first click of two has begun to play
    setSelected([start, end]);
  };
  const { hits, hit, play } = props;
  const own = hit && hits.includes(hit) ? hit : null;
  const words = useMemo(
    () => <Words segment={segment} hits={hits} hit={own} play={play} edit={edit} />,
    [segment, hits, own, play],
  ); // the same as before is not looked at again, however often the list moves
  return (
    <div class={`segment ${colour}${begins ? " begins" : ""}`}>
      {begins && speaker && <p class="who">{speaker}</p>}
      <button type="button" class="at" onClick={() => props.play(segment.start)} aria-label={`Play from ${clock(segment.start)}`}>
        {clock(segment.start)}
      </button>
      {selected ? (
        <Editor segment={segment} selected={selected} save={props.save} close={() => setSelected(null)} />
      ) : (
        <>
          {words}
          <button
            type="button"
            class="edit"
            onClick={() => edit(segment.text.length, segment.text.length)}
            aria-label={`Edit the text at ${clock(segment.start)}`}
          >
            Edit
          </button>
        </>
      )}
    </div>
  );
}

interface WordsProps extends Pick<Props, "segment" | "hits" | "hit" | "play"> {
  edit(start: number, end: number): void;
}

/** The text as words that can be clicked. One listener serves them all: there are many, and they come and go fast. */
function Words({ segment, hits, hit, play, edit }: WordsProps) {
  const parts = spans(segment);
  const index = (event: Event) => Number((event.target as Element).closest<HTMLElement>(".word")?.dataset.index ?? -1);
  const clicked = (event: Event) => {
    const word = index(event);
    if (word >= 0) play(segment.words?.[word]?.start ?? segment.start);
  };
  const twice = (event: Event) => {
    const part = parts[index(event)];
    edit(part ? part.start : 0, part ? part.end : segment.text.length);
  };
  const children: ComponentChildren[] = [];
  for (const [index, { before, word, start, end }] of parts.entries()) {
    const mark = hits.length ? marked(hits, hit, start, end) : "word";
    children.push(
      before,
      <span id={`w-${segment.id}-${index}`} class={mark} data-index={index}>
        {word}
      </span>,
    );
  }
  children.push(segment.text.slice(parts.at(-1)?.end));
  return (
    <p class="text" dir="auto" onClick={clicked} onDblClick={twice}>
      {children}
    </p>
  );
}

function marked(hits: readonly Hit[], hit: Hit | null, start: number, end: number): string {
  const found = hits.filter((one) => one.start < end && one.end > start);
  if (!found.length) return "word";
  return hit && found.includes(hit) ? "word hit current" : "word hit";
}

interface EditorProps {
  segment: Segment;
  selected: [number, number];
  save: Props["save"];
  close(): void;
}

function Editor({ segment, selected, save, close }: EditorProps) {
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
