// What is known of a recording, and what is wanted of it. What is left as it is the server decides.

import type { Fields } from "../api/client";
import type { Model } from "../api/types";
import { LANGUAGES } from "../text/languages";

const MOST_SPEAKERS = 50;
const OPENAIS = /^(whisper-1$|gpt-)/; // names that clients of OpenAI send, and that stand for the server's own model

interface Props {
  fields: Fields;
  models: Model[];
  change(fields: Fields): void;
}

export function OptionFields({ fields, models, change }: Props) {
  const named = models.filter(({ id }) => !OPENAIS.test(id));
  const set = (name: string, value: string) => change({ ...fields, [name]: value });
  const speakers = fields.enable_diarization === "false" ? "none" : fields.channels === "separate" ? "channels" : "find";
  const setSpeakers = (kind: string) => {
    const { enable_diarization: _, channels: __, num_speakers: ___, ...rest } = fields;
    const chosen: Fields = kind === "none" ? { enable_diarization: "false" } : kind === "channels" ? { channels: "separate" } : {};
    change({ ...rest, ...chosen });
  };
  return (
    <div class="fields">
      <label>
        Language
        <select value={fields.language ?? ""} onChange={(event) => set("language", event.currentTarget.value)}>
          <option value="">Detect</option>
          {LANGUAGES.map(([code, name]) => (
            <option key={code} value={code}>
              {name}
            </option>
          ))}
        </select>
      </label>
      <label>
        Model
        <select value={fields.model ?? ""} onChange={(event) => set("model", event.currentTarget.value)}>
          <option value="">The server's</option>
          <Models label="On the server" models={named.filter(({ created }) => created)} />
          <Models label="Fetched when first asked for" models={named.filter(({ created }) => !created)} />
        </select>
      </label>
      <label>
        Speakers
        <select value={speakers} onChange={(event) => setSpeakers(event.currentTarget.value)}>
          <option value="find">Tell apart by voice</option>
          <option value="channels">One a channel</option>
          <option value="none">Don't tell apart</option>
        </select>
      </label>
      {speakers === "find" && (
        <label>
          How many
          <input
            type="number"
            min={1}
            max={MOST_SPEAKERS}
            placeholder="Find out"
            value={fields.num_speakers ?? ""}
            onInput={(event) => set("num_speakers", event.currentTarget.value)}
            onChange={(event) => set("num_speakers", possible(event.currentTarget.value))}
          />
        </label>
      )}
      <label class="check">
        <input
          type="checkbox"
          checked={fields.task === "translate"}
          onChange={(event) => set("task", event.currentTarget.checked ? "translate" : "")}
        />
        Translate to English
      </label>
    </div>
  );
}

function Models({ label, models }: { label: string; models: Model[] }) {
  if (!models.length) return null;
  return (
    <optgroup label={label}>
      {models.map(({ id }) => (
        <option key={id} value={id}>
          {id}
        </option>
      ))}
    </optgroup>
  );
}

/** The number of speakers nearest to one that is given; none where none is. */
function possible(given: string): string {
  return given && String(Math.min(MOST_SPEAKERS, Math.max(1, Math.round(Number(given)))));
}
