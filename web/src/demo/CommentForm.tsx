import { type ReactNode, useState } from "react";
import { Send, Text } from "./form";
import { isSame, type Post } from "./model";
import { useSubmit } from "./submit";
import { firstName, useWindow } from "./window";

interface CommentFormProps {
  post: Post;
  /** Whether it is where a stranger should begin. */
  isInviting: boolean;
  onSent: () => void;
}

export function CommentForm({ post, isInviting, onSent }: CommentFormProps): ReactNode {
  const { me, other, api, feed } = useWindow();
  const [text, setText] = useState("");
  const { isSending, problem, submit } = useSubmit(text, async (key) => {
    await api.addComment(post.id, text, key);
    setText("");
    feed.wrote();
    onSent();
  });
  const isSeenBeside = other && isSame(other.id, post.authorId) && !isSame(me.id, post.authorId);
  const label = `Write a comment as ${firstName(me.name)}`;
  return (
    <form
      className="comment-form"
      data-inviting={isInviting || undefined}
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      <Text
        label={isSeenBeside ? `${label}: ${firstName(other.name)} sees it at once` : label}
        isLabelHidden={!isInviting}
        rows={1}
        value={text}
        onChange={setText}
        isReadOnly={isSending}
        problem={problem?.field === undefined ? undefined : problem.message}
        placeholder={isSame(me.id, post.authorId) ? "Reply…" : "Write a comment…"}
      />
      <Send label="Comment" isSending={isSending} problem={problem} />
    </form>
  );
}
