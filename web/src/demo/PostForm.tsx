import { type ReactNode, useState } from "react";
import { Send, Text } from "./form";
import type { Post } from "./model";
import { useSubmit } from "./submit";
import { useWindow } from "./window";

export function PostForm({ onSent }: { onSent: (post: Post) => void }): ReactNode {
  const { api, feed } = useWindow();
  const [title, setTitle] = useState("");
  const [body, setBody] = useState("");
  const { isSending, problem, submit } = useSubmit(JSON.stringify([title, body]), async (key) => {
    const post = await api.addPost({ title, body }, key);
    feed.wrote();
    onSent(post);
  });
  const problemOf = (field: string) => (problem?.field === field ? problem.message : undefined);
  return (
    <form
      className="card post-form"
      aria-label="New post"
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      <Text
        label="Title"
        value={title}
        onChange={setTitle}
        isReadOnly={isSending}
        problem={problemOf("title")}
      />
      <Text
        label="Text"
        rows={3}
        value={body}
        onChange={setBody}
        isReadOnly={isSending}
        problem={problemOf("body")}
      />
      <Send label="Post" isSending={isSending} problem={problem} />
    </form>
  );
}
