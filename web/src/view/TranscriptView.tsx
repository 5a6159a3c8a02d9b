// The transcript: its segments, of which the word being said is marked and kept in sight.

import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Transcript } from "../api/types";
import { watchTime, type Playback } from "../player/playback";
import type { Hit } from "../text/search";
import { placeAt, startsOf, type Place } from "../text/words";
import { SegmentRow } from "./SegmentRow";
import { colourOf, nameOf } from "./speakers";
import { useRows } from "./virtual";

const ROW = 34; // pixels of a row's frame
const LINE = 26; // pixels
const LETTER = 8.5; // pixels a character takes on the average
const NONE: Hit[] = [];

interface Props {
  transcript: Transcript;
  playback: Playback;
  hits: Hit[];
  hit: Hit | null;
  /** Whether the list follows what is played. */
  following: boolean;
  play(time: number): void;
  save(id: number, text: string): Promise<boolean>;
}

export function TranscriptView({ transcript, playback, hits, hit, following, play, save }: Props) {
  const { segments, speakers } = transcript;
  const list = useRef<HTMLDivElement>(null);
  const [frame, setFrame] = useState({ margin: 0, covered: 0, width: 600 });
  const starts = useMemo(() => startsOf(segments), [segments]);
  const bySegment = useMemo(() => Map.groupBy(hits, (one) => one.segment), [hits]);
  const begins = (index: number) => index === 0 || segments[index]!.speaker !== segments[index - 1]!.speaker;
  const estimate = (index: number) =>
    ROW + LINE * (Math.ceil((segments[index]!.text.length * LETTER) / frame.width) + (begins(index) ? 1 : 0));
  const rows = useRows({ count: segments.length, estimate, ...frame });

  useLayoutEffect(() => {
    const measure = () => {
      const box = list.current!.getBoundingClientRect();
      const covered = document.querySelector(".player")?.getBoundingClientRect().height ?? 0;
      setFrame({ margin: box.top + scrollY, covered, width: Math.max(200, box.width - 100) });
    };
    measure();
    const watched = new ResizeObserver(measure);
    watched.observe(document.body);
    return () => watched.disconnect();
  }, []);

  useEffect(() => {
    if (hit) rows.scrollToIndex(hit.segment, { align: "center" });
  }, [hit, rows]);

  // The marked word is set by hand: to render by each frame what a class can show would be waste.
  const marked = useRef<{ place: Place | null; element: Element | null }>({ place: null, element: null });
  useEffect(
    () =>
      watchTime(playback.audio, (time) => {
        const place = placeAt(segments, starts, time);
        const last = marked.current;
        const moved = place?.segment !== last.place?.segment;
        if (!moved && place?.word === last.place?.word && last.element?.isConnected) return;
        last.element?.classList.remove("said");
        const found = place && segments[place.segment];
        const element = found ? document.getElementById(`w-${found.id}-${place.word}`) : null;
        element?.classList.add("said");
        marked.current = { place, element };
        if (moved && place && following && !playback.audio.paused) rows.scrollToIndex(place.segment, { align: "center" });
      }),
    [playback, segments, starts, rows, following],
  );

  const pause = useCallback(() => playback.pause(), [playback]);
  if (!segments.length) return <p class="empty">Nothing was said in this recording.</p>;
  return (
    <div class="rows" role="list" aria-label="Transcript" ref={list} style={{ height: `${rows.getTotalSize()}px` }}>
      {rows.getVirtualItems().map(({ index, key, start }) => {
        const segment = segments[index]!;
        return (
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
              segment={segment}
              speaker={nameOf(speakers, segment.speaker)}
              colour={colourOf(speakers, segment.speaker)}
              begins={begins(index)}
              hits={bySegment.get(index) ?? NONE}
              hit={hit}
              play={play}
              pause={pause}
              save={save}
            />
          </div>
        );
      })}
    </div>
  );
}
