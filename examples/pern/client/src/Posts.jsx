import { useCallback, useEffect, useState } from "react";
import { get } from "./api";
import { Post } from "./Post";

export function Posts({ user, socket }) {
  const [posts, setPosts] = useState([]);
  const [names, setNames] = useState({});
  const [likes, setLikes] = useState({});

  useEffect(() => {
    get("/posts").then(setPosts);
    get("/users").then((users) => setNames(Object.fromEntries(users.map(({ id, name }) => [id, name]))));
  }, []);

  const loadLikes = useCallback(() => {
    get("/likes").then((rows) => setLikes(Object.fromEntries(rows.map((row) => [row.postId, row]))));
  }, []);

  useEffect(() => {
    loadLikes();
    socket?.on("liked", loadLikes);
    return () => socket?.off("liked", loadLikes);
  }, [socket, loadLikes]);

  return posts.map((post) => (
    <Post
      key={post.id}
      post={post}
      names={names}
      like={likes[post.id]}
      onLiked={loadLikes}
      user={user}
      socket={socket}
    />
  ));
}
