import { useEffect, useState } from "react";
import { get, post as send } from "./api";

export function Post({ post, names, like, onLiked, user, socket }) {
  const [comments, setComments] = useState([]);
  const [error, setError] = useState("");
  const [typing, setTyping] = useState("");

  useEffect(() => {
    get(`/posts/${post.id}/comments`).then(setComments);
  }, [post.id]);

  useEffect(() => {
    let timer;
    function show({ postId, name }) {
      if (postId !== post.id) return;
      setTyping(name);
      clearTimeout(timer);
      timer = setTimeout(() => setTyping(""), 2000);
    }
    socket?.on("typing", show);
    return () => {
      clearTimeout(timer);
      socket?.off("typing", show);
    };
  }, [socket, post.id]);

  async function comment(event) {
    event.preventDefault();
    const form = event.target;
    try {
      const written = await send(`/posts/${post.id}/comments`, { body: form.elements.body.value });
      setComments((before) => [...before, written]);
      setError("");
      form.reset();
    } catch (failure) {
      setError(failure.message);
    }
  }

  async function addLike() {
    await send(`/posts/${post.id}/like`);
    onLiked();
  }

  return (
    <article className="card" aria-label={post.title}>
      <h2>{post.title}</h2>
      <p className="by">{post.authorId === user.id ? "by you" : `by ${names[post.authorId] ?? "…"}`}</p>
      <p>{post.body}</p>
      <button type="button" className="like" onClick={addLike} disabled={like?.mine}>
        ♥ {like?.count ?? 0}
      </button>
      <ul>
        {comments.map((one) => (
          <li key={one.id}>
            <strong>{names[one.authorId] ?? "…"}</strong> {one.body}{" "}
            <time dateTime={one.createdAt}>{new Date(one.createdAt).toLocaleTimeString()}</time>
          </li>
        ))}
      </ul>
      <form onSubmit={comment}>
        <input
          name="body"
          aria-label="Your comment"
          placeholder={typing ? `${typing} is typing …` : "Write a comment"}
          autoComplete="off"
          onInput={() => socket?.emit("typing", post.id, user.name)}
        />
        <button type="submit">Comment</button>
      </form>
      {error && <p role="alert">{error}</p>}
    </article>
  );
}
