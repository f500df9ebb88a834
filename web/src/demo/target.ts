import { useEffect, useState } from "react";
import { ApiError } from "./api";
import type { Side } from "./choice";
import type { Feed } from "./feed";
import { type Id, isSame } from "./model";
import { anchorOf } from "./window";

interface Target {
  readonly postId: Id;
  /** Undefined where it is the post itself, or the comment has gone. */
  readonly commentId: Id | undefined;
}

export interface Opening {
  readonly target: Target | undefined;
  /** For people: why it could not be opened. */
  readonly problem: string | null;
  readonly open: (postId: Id, commentId?: Id) => Promise<void>;
}

/** Brings a post or a comment into sight, fetching it where it is not there, and gives it the focus, which shows it. */
export function useOpening(feed: Feed, side: Side): Opening {
  const [target, setTarget] = useState<Target>();
  const [problem, setProblem] = useState<string | null>(null);
  useEffect(() => {
    if (!target) return;
    const { postId, commentId } = target;
    const id =
      commentId === undefined ? anchorOf(side, "post", postId) : anchorOf(side, "comment", commentId);
    const element = document.getElementById(id);
    if (!element) return;
    const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    element.focus({ preventScroll: true });
    element.scrollIntoView({
      block: commentId === undefined ? "start" : "center",
      behavior: isCalm ? "auto" : "smooth",
    });
  }, [target, side]);
  const open = async (postId: Id, commentId?: Id) => {
    setProblem(null);
    try {
      const thread = await feed.reveal(postId);
      if (!thread) return setProblem("That post is not there any more.");
      const isThere = thread.comments.some((comment) => isSame(comment.id, commentId));
      setTarget({ postId, commentId: isThere ? commentId : undefined });
      if (commentId !== undefined && !isThere) setProblem("That comment is not there any more.");
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setProblem(error.message);
    }
  };
  return { target, problem, open };
}
