// One segment: its speaker, its time, its text. A click on a word plays it; a double click puts the text right.

import { useState } from "preact/hooks";
import { clock } from "../text/time";
import { wordAt, type Read } from "../text/words";
import { SegmentEditor } from "./SegmentEditor";
import { characterAt, idOf } from "./marks";

export interface Acts {
  play(time: number): void;
  pause(): void;
  save(id: number, text: string): Promise<boolean>;
}

interface Props {
  read: Read;
  index: number;
  speaker: string;
  colour: string;
  /** Whether the one before is another's. */
  begins: boolean;
  acts: Acts;
}

export function SegmentRow({ read, index, speaker, colour, begins, acts }: Props) {
  const segment = read.segments[index]!;
  const [selected, setSelected] = useState<[number, number] | null>(null);
  const edit = (start: number, end: number) => {
    acts.pause(); // the first click of two has begun to play
    setSelected([start, end]);
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
    edit(found < 0 ? 0 : read.words.from[found]!, found < 0 ? segment.text.length : read.words.to[found]!);
  };
  return (
    <div class={`segment ${colour}${begins ? " begins" : ""}`}>
      {begins && speaker && <p class="who">{speaker}</p>}
      <button type="button" class="at" onClick={() => acts.play(segment.start)} aria-label={`Play from ${clock(segment.start)}`}>
        {clock(segment.start)}
      </button>
      {selected ? (
        <SegmentEditor segment={segment} selected={selected} save={acts.save} close={() => setSelected(null)} />
      ) : (
        <>
          <p class="text" dir="auto" id={idOf(segment.id)} onClick={clicked} onDblClick={twice}>
            {segment.text}
          </p>
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

