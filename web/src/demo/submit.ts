import { useRef, useState } from "react";
import { ApiError } from "./api";

export interface Submit {
  readonly isSending: boolean;
  readonly problem: ApiError | null;
  readonly submit: () => Promise<void>;
}

/**
 * Sends a draft once: the same draft sent again after a failure has the same key, so that it is not written twice where
 * only the answer was lost.
 */
export function useSubmit(draft: string, send: (key: string) => Promise<void>): Submit {
  const [isSending, setSending] = useState(false);
  const [problem, setProblem] = useState<ApiError | null>(null);
  const tried = useRef<{ draft: string; key: string }>(undefined);
  const submit = async () => {
    if (isSending) return;
    const attempt = tried.current?.draft === draft ? tried.current : { draft, key: crypto.randomUUID() };
    tried.current = attempt;
    setSending(true);
    try {
      await send(attempt.key);
      tried.current = undefined;
      setProblem(null);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setProblem(error);
    } finally {
      setSending(false);
    }
  };
  return { isSending, problem, submit };
}
