// What was typed into the texts of a task that can't be shown, as one that somebody else has deleted.

import { useState } from "preact/hooks";
import { forgetDrafts, keptDrafts } from "../state/drafts";

export function Leftover({ task }: { task: string }) {
  const [drafts, setDrafts] = useState(() => keptDrafts(task));
  if (!drafts.size) return null;
  const leave = () => {
    forgetDrafts(task);
    setDrafts(new Map());
  };
  return (
    <section class="card" aria-labelledby="leftover">
      <h2 id="leftover">What you had typed into it</h2>
      {[...drafts].map(([segment, { text }]) => (
        <p key={segment} dir="auto">
          {text}
        </p>
      ))}
      <button type="button" onClick={leave}>
        Dismiss
      </button>
    </section>
  );
}
