// A transcript that is done: heard, read, put right and taken along.

import { useEffect, useMemo, useState } from "preact/hooks";
import { ApiError, type Api } from "../api/client";
import type { Edits, Status, Waveform } from "../api/types";
import { Player } from "../player/Player";
import { usePlayback } from "../player/playback";
import { toRead, type Read } from "../text/words";
import { Details } from "./Details";
import { Downloads } from "./Downloads";
import { NOTHING, SearchBar } from "./SearchBar";
import { Speakers } from "./Speakers";
import { TranscriptView } from "./TranscriptView";
import { useFollowing } from "./following";
import { useKeyboard } from "./keyboard";
import { useMedia } from "./useMedia";

interface Props {
  api: Api;
  status: Status;
  read: Read;
  waveform: Waveform | null;
  replace(read: Read): void;
  fail(sentence: string | null): void;
}

export function Done({ api, status, read, waveform, replace, fail }: Props) {
  const task = status.task_id;
  const played = usePlayback(api, task);
  const [found, setFound] = useState(NOTHING);
  const [following, follow] = useFollowing(played.playing);
  const wide = useMedia("(min-width: 56.01rem)"); // as the style has it: beside the transcript, or folded above it
  useKeyboard(played.playback, read);
  useEffect(() => {
    if (found.last && played.playing) follow(false); // who goes to what was found wants to read there
  }, [found.turn]);
  const edit = async (edits: Edits): Promise<boolean> => {
    fail(null);
    try {
      replace(toRead(await api.edit(task, edits)));
      return true;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      fail(error.message);
      return false;
    }
  };
  const acts = useMemo(
    () => ({
      play: (time: number) => {
        follow(true);
        played.playback.seek(time, true);
      },
      pause: () => played.playback.pause(),
      save: (id: number, text: string) => edit({ segments: [{ id, text }] }),
    }),
    [played.playback],
  );
  const about = (
    <>
      <Speakers
        speakers={read.speakers}
        rename={async (id, name) => void (await edit({ speakers: { [id]: name } }))}
      />
      <Downloads api={api} task={task} filename={status.filename} fail={fail} />
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
        <div class="main-column">
          <TranscriptView read={read} playback={played.playback} found={found} following={following} acts={acts} />
        </div>
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
      </div>
    </>
  );
}
