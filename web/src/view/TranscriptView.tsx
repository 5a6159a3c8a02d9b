// The transcript: its segments, in which the word being said and what is searched for are marked, and kept in sight.

import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { watchTime, type Playback } from "../player/playback";
import type { Drafts } from "../state/drafts";
import { placeAt, type Place, type Read } from "../text/words";
import type { Found } from "./SearchBar";
import { idOf, mark, rangeOf } from "./marks";
import { SegmentRow, type Acts } from "./SegmentRow";
import { colourOf, nameOf } from "./speakers";
import { useRows } from "./virtual";

const ROW = 34; // pixels of a row's frame
const LINE = 26; // pixels
const LETTER = 8.5; // pixels a character takes on the average

interface Props {
  read: Read;
  playback: Playback;
  found: Found;
  /** Whether the list follows what is played. */
  following: boolean;
  drafts: Drafts;
  acts: Acts;
}

export function TranscriptView({ read, playback, found, following, drafts, acts }: Props) {
  const { segments, speakers } = read;
  const { hits, at, turn } = found;
  const hit = hits[at];
  const list = useRef<HTMLDivElement>(null);
  const [frame, setFrame] = useState({ margin: 0, covered: 0, width: 600 });
  const bySegment = useMemo(() => Map.groupBy(hits, (one) => one.segment), [hits]);
  const begins = (index: number) => index === 0 || segments[index]!.speaker !== segments[index - 1]!.speaker;
  const estimate = (index: number) =>
    ROW + LINE * (Math.ceil((segments[index]!.text.length * LETTER) / frame.width) + (begins(index) ? 1 : 0));
  const rows = useRows({ count: segments.length, estimate, ...frame });
  const inSight = rows.getVirtualItems();

  useLayoutEffect(() => {
    const measure = () => {
      const box = list.current?.getBoundingClientRect();
      if (!box) return; // nothing was said
      const hidden = covered();
      document.documentElement.style.scrollPaddingTop = `${hidden}px`; // nor does the focus go behind it
      setFrame({ margin: box.top + scrollY, covered: hidden, width: Math.max(200, box.width - 100) });
    };
    measure();
    const watched = new ResizeObserver(measure);
    watched.observe(document.body);
    return () => {
      watched.disconnect();
      document.documentElement.style.scrollPaddingTop = "";
    };
  }, []);

  useEffect(() => {
    if (hit) rows.scrollToIndex(hit.segment, { align: "center" });
  }, [turn, rows]);

  /** Whether a segment's text is in sight. One that plays may have been clicked: it stays, to be clicked again. */
  const isSeen = (segment: number) => {
    const box = document.getElementById(idOf(segments[segment]!.id))?.getBoundingClientRect();
    const least = playback.audio.paused ? box?.height : LINE;
    return box && least && box.bottom >= covered() + least && box.top <= innerHeight - least;
  };
  const said = useRef<{ place: Place | null; range: Range | null }>({ place: null, range: null });
  const say = (place: Place | null) => {
    const range = place && rangeOfPlace(read, place);
    said.current = { place, range };
    mark("said", range ? [range] : []);
  };
  useLayoutEffect(() => {
    const seen = inSight.flatMap(({ index }) => bySegment.get(index) ?? []);
    mark("hit", seen.flatMap((one) => rangeOf(segments[one.segment]!.id, one.start, one.end) ?? []));
    const current = hit && rangeOf(segments[hit.segment]!.id, hit.start, hit.end);
    mark("current", current ? [current] : []);
    if (!said.current.range?.startContainer.isConnected) say(said.current.place);
  });
  useEffect(
    () =>
      watchTime(playback.audio, (time, jumped) => {
        const place = placeAt(read, time);
        const last = said.current.place;
        if (place?.word !== last?.word || place?.segment !== last?.segment) say(place);
        if (!place || !following || document.activeElement?.closest(".editor")) return; // nobody types while it moves away
        const goes = jumped ? !isSeen(place.segment) : place.segment !== last?.segment && !playback.audio.paused;
        if (goes) rows.scrollToIndex(place.segment, { align: "center" });
      }),
    [playback, read, rows, following],
  );
  useEffect(() => () => (["said", "hit", "current"] as const).forEach((name) => mark(name, [])), []);

  if (!segments.length) return <p class="empty">There is no text to read.</p>;
  return (
    <div class="rows" role="list" aria-label="Transcript" ref={list} style={{ height: `${rows.getTotalSize()}px` }}>
      {inSight.map(({ index, key, start }) => (
        <div
          key={key}
          ref={rows.measureElement}
          data-index={index}
          class="row"
          role="listitem"
          aria-setsize={segments.length}
          aria-posinset={index + 1}
          style={{ transform: `translateY(${start - rows.options.scrollMargin}px)` }}
        >
          <SegmentRow
            read={read}
            index={index}
            speaker={nameOf(speakers, segments[index]!.speaker)}
            colour={colourOf(speakers, segments[index]!.speaker)}
            begins={begins(index)}
            draft={drafts.get(segments[index]!.id)}
            acts={acts}
          />
        </div>
      ))}
    </div>
  );
}

/** How much of the window's top the player covers, in pixels. */
function covered(): number {
  const player = document.querySelector(".player")!;
  const { position, top } = getComputedStyle(player);
  return position === "sticky" ? player.getBoundingClientRect().height + parseFloat(top) : 0;
}

/** The word of a place, or its whole segment where that has no words, as it is in the document. */
function rangeOfPlace({ segments, words }: Read, { segment, word }: Place): Range | null {
  const { id, text } = segments[segment]!;
  if (words.first[segment] === words.first[segment + 1]) return rangeOf(id, 0, text.length);
  return word < 0 ? null : rangeOf(id, words.from[word]!, words.to[word]!);
}
