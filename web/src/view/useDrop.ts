// Files that are dropped anywhere on the page, which a browser would open in its place.

import { useEffect, useRef, useState } from "preact/hooks";

/** Whether files are held over the page. */
export function useDrop(drop: (files: Iterable<File>) => void): boolean {
  const [over, setOver] = useState(false);
  const latest = useRef(drop);
  latest.current = drop;
  useEffect(() => {
    const leave = (event: DragEvent) => !event.relatedTarget && setOver(false);
    const hold = (event: DragEvent) => {
      if (!event.dataTransfer?.types.includes("Files")) return; // text that is dragged is for fields
      event.preventDefault();
      setOver(event.type !== "drop");
      if (event.type === "drop") latest.current(event.dataTransfer.files);
    };
    addEventListener("dragover", hold);
    addEventListener("drop", hold);
    addEventListener("dragleave", leave);
    return () => {
      removeEventListener("dragover", hold);
      removeEventListener("drop", hold);
      removeEventListener("dragleave", leave);
    };
  }, []);
  return over;
}
