// The models that a recording can be transcribed with.

import { useEffect, useState } from "preact/hooks";
import { ApiError, type Api } from "../api/client";
import type { Model } from "../api/types";
import { patiently } from "../api/waiting";

/** None as long as the server does not answer: it is asked until it does. */
export function useModels(api: Api, refused: (error: ApiError) => void): Model[] {
  const [models, setModels] = useState<Model[]>([]);
  useEffect(() => {
    const stop = new AbortController();
    patiently(() => api.models(), () => {}, stop.signal).then(
      ({ data }) => {
        if (!stop.signal.aborted) setModels(data);
      },
      (error: unknown) => {
        if (stop.signal.aborted) return;
        if (!(error instanceof ApiError)) throw error;
        if (error.status === 401) refused(error);
      },
    );
    return () => stop.abort();
  }, [api]);
  return models;
}
