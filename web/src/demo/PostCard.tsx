import { type ReactNode, useId, useState } from "react";
import { Avatar, Time } from "../notify/parts";
import { ApiError } from "./api";
import { CommentForm } from "./CommentForm";
import type { Thread } from "./feed";
import { type Comment, isSame } from "./model";
import { anchorOf, useWindow } from "./window";

const SHOWN = 3;

interface PostCardProps {
  thread: Thread;
  /** Whether somebody came here from a notification: none of the comments is folded away then. */
  isOpened: boolean;
  isInviting: boolean;
  onCommented: () => void;
}

export function PostCard({ thread, isOpened, isInviting, onCommented }: PostCardProps): ReactNode {
  const { post, comments } = thread;
  const { side, me, nameOf } = useWindow();
  const [isUnfolded, setUnfolded] = useState(false);
  const title = useId();
  const author = nameOf(post.authorId);
  const isWhole = isUnfolded || isOpened || comments.length <= SHOWN + 1;
  const shown = isWhole ? comments : comments.slice(-SHOWN);
  return (
    <article id={anchorOf(side, "post", post.id)} className="card post" tabIndex={-1} aria-labelledby={title}>
      <header className="by">
        <Avatar name={author} />
        <p>
          <bdi className="strong">{author}</bdi>
          {isSame(post.authorId, me.id) && <span className="tag">Your post</span>}
        </p>
      </header>
      <h3 id={title} dir="auto">
        {post.title}
      </h3>
      <p className="body" dir="auto">
        {post.body}
      </p>
      {!isWhole && (
        <button type="button" className="link" onClick={() => setUnfolded(true)}>
          Show all {comments.length} comments
        </button>
      )}
      {shown.length > 0 && (
        <ul className="comments" aria-label="Comments">
          {shown.map((comment) => (
            <CommentItem key={comment.id} comment={comment} />
          ))}
        </ul>
      )}
      <CommentForm post={post} isInviting={isInviting} onSent={onCommented} />
    </article>
  );
}

function CommentItem({ comment }: { comment: Comment }): ReactNode {
  const { side, me, nameOf, api, feed } = useWindow();
  const [problem, setProblem] = useState<string | null>(null);
  const author = nameOf(comment.authorId);
  const remove = async () => {
    try {
      await api.deleteComment(comment.id);
      feed.wrote();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setProblem(error.message);
    }
  };
  return (
    <li id={anchorOf(side, "comment", comment.id)} tabIndex={-1}>
      <Avatar name={author} />
      <div>
        <p className="byline">
          <bdi className="strong">{author}</bdi> <Time at={comment.createdAt} />
          {isSame(comment.authorId, me.id) && (
            <button
              type="button"
              className="link"
              aria-label="Delete your comment"
              onClick={() => void remove()}
            >
              Delete
            </button>
          )}
        </p>
        <p className="body" dir="auto">
          {comment.body}
        </p>
        {problem !== null && (
          <p className="problem" role="alert">
            {problem}
          </p>
        )}
      </div>
    </li>
  );
}
