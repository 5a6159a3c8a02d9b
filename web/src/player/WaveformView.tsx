// The waveform. It is drawn from the server's peaks: the recording itself is not fetched for it.

import { useEffect, useRef } from "preact/hooks";
import WaveSurfer from "wavesurfer.js";
import type { Waveform } from "../api/types";
import { nonce } from "../nonce";

const FULL_SCALE = 127;

interface Props {
  waveform: Waveform;
  audio: HTMLAudioElement;
  duration: number;
}

export function WaveformView({ waveform, audio, duration }: Props) {
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const style = getComputedStyle(place.current!);
    const drawn = WaveSurfer.create({
      container: place.current!,
      media: audio,
      peaks: halves(waveform),
      duration,
      height: "auto",
      waveColor: style.getPropertyValue("--wave").trim(),
      progressColor: style.getPropertyValue("--accent").trim(),
      cursorColor: style.getPropertyValue("--text").trim(),
      normalize: true,
      dragToSeek: true,
      cspNonce: nonce(),
    });
    return () => drawn.destroy();
  }, [waveform, audio, duration]);
  // The slider below it does the same for keyboards and screen readers.
  return <div class="waveform" ref={place} aria-hidden="true" />;
}

/** What is above and below the middle line, each 0..1. */
function halves({ data, length }: Waveform): Float32Array[] {
  const [above, below] = [new Float32Array(length), new Float32Array(length)];
  for (let pixel = 0; pixel < length; pixel++) {
    below[pixel] = -data[2 * pixel]! / FULL_SCALE;
    above[pixel] = data[2 * pixel + 1]! / FULL_SCALE;
  }
  return [above, below];
}
