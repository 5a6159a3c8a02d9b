// A transcript that is done: heard, read, put right and taken along.

import { useEffect, useMemo, useState } from "preact/hooks";
import type { Api, ApiError } from "../api/client";
import type { Status, Waveform } from "../api/types";
import { Player } from "../player/Player";
import { usePlayback } from "../player/playback";
import type { Saves } from "../state/saves";
import type { Read } from "../text/words";
import { Details } from "./Details";
import { Downloads } from "./Downloads";
import { NOTHING, SearchBar } from "./SearchBar";
import { Speakers } from "./Speakers";
import { TranscriptView } from "./TranscriptView";
import { useFollowing } from "./following";
import { useKeyboard } from "./keyboard";
import { useEdits } from "./useEdits";
import { useMedia } from "./useMedia";

interface Props {
  api: Api;
  status: Status;
  read: Read;
  waveform: Waveform | null;
  saves: Saves;
  replace(read: Read): void;
  fail(sentence: string | null): void;
  refused(error: ApiError): void;
}

export function Done({ api, status, read, waveform, saves, replace, fail, refused }: Props) {
  const task = status.task_id;
  const played = usePlayback(api, task, refused);
  const [found, setFound] = useState(NOTHING);
  const { following, follow, come, leave } = useFollowing(played.playing);
  const wide = useMedia("(min-width: 56.01rem)"); // as the style has it: beside the transcript, or folded above it
  useKeyboard(played.playback, read);
  useEffect(() => {
    if (found.last && played.playing) leave(); // who goes to what was found wants to read there
  }, [found.turn]);
  const { drafts, draft, save, rename } = useEdits({ api, task, saves, replace, fail, refused });
  const acts = useMemo(
    () => ({
      play: (time: number) => {
        come();
        played.playback.seek(time, true);
      },
      pause: () => played.playback.pause(),
      draft,
      save,
    }),
    [played.playback, draft, save],
  );
  const about = (
    <>
      <Speakers speakers={read.speakers} rename={rename} />
      <Downloads api={api} task={task} filename={status.filename} fail={fail} refused={refused} />
      <Details read={read} />
    </>
  );
  return (
    <>
      <Player played={played} waveform={waveform} duration={read.duration} following={following} follow={follow}>
        <SearchBar segments={read.segments} found={found} change={setFound} />
      </Player>
      {read.warnings.map((warning) => (
        <p key={warning} class="note">
          {warning}
        </p>
      ))}
      <div class="columns">
        {/* first, for who goes by keys: every segment has two stops */}
        <aside class="about" aria-label="About this recording">
          {wide ? (
            about
          ) : (
            <details>
              <summary>Speakers, download, details</summary>
              {about}
            </details>
          )}
        </aside>
        <div class="main-column">
          <TranscriptView
            read={read}
            playback={played.playback}
            found={found}
            following={following}
            drafts={drafts}
            acts={acts}
          />
        </div>
      </div>
    </>
  );
}
