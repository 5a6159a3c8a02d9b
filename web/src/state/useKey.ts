// The key that the page uses, and whether it asks for one.

import { useCallback, useEffect, useMemo, useState } from "preact/hooks";
import { Api, type ApiError } from "../api/client";
import { keyFromLink, saveKey } from "./key";

/** `first` is the key to begin with. */
export function useKey(root: string, first: string) {
  const [entered, setEntered] = useState({ key: first });
  const [asked, setAsked] = useState<{ reason: string | null } | null>(null);
  const [forgotten, setForgotten] = useState(0);
  const { key } = entered;
  const api = useMemo(() => new Api(root, key), [root, entered]); // anew for the same key entered again
  const refused = useCallback((error: ApiError) => setAsked({ reason: key ? error.message : null }), [key]);
  const enter = (given: string) => {
    saveKey(given);
    setEntered({ key: given });
    setAsked(null);
  };
  const forget = () => {
    enter("");
    setAsked({ reason: null });
    setForgotten((times) => times + 1);
  };
  useEffect(() => {
    const look = async () => {
      const brought = await keyFromLink(root, key);
      if (brought !== null) enter(brought);
    };
    void look(); // a link may have been opened before this listened
    addEventListener("hashchange", look);
    return () => removeEventListener("hashchange", look);
  }, [root, key]);
  return { api, asked, forgotten, refused, enter, forget };
}
