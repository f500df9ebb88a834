/** The feed: how to write a post, and the posts; those of the two people in the windows go first. */

import { type ReactNode, useState, useSyncExternalStore } from "react";
import type { Thread } from "./feed";
import { type Id, isSame, type Person, type Post } from "./model";
import { PostCard } from "./PostCard";
import { PostForm } from "./PostForm";
import { firstName, useWindow } from "./window";

interface FeedListProps {
  /** Whose newest posts go first, so that both windows begin with the same. */
  pinned: readonly Person[];
  openedPostId: Id | undefined;
  /** Shows a post that was just written. */
  onPosted: (post: Post) => void;
}

export function FeedList({ pinned, openedPostId, onPosted }: FeedListProps): ReactNode {
  const { side, me, feed } = useWindow();
  const { threads, hasOlder, problem } = useSyncExternalStore(feed.subscribe, feed.getSnapshot);
  const [isWriting, setWriting] = useState(false);
  const [hasCommented, setCommented] = useState(false);
  const arranged = arrange(threads ?? [], pinned);
  const invitesAt = hasCommented || side === "left" ? undefined : arranged[0]?.post;
  return (
    <div className="feed">
      <div className="feed-header">
        <button
          type="button"
          className="new-post"
          aria-expanded={isWriting}
          onClick={() => setWriting(!isWriting)}
        >
          {isWriting ? "Cancel" : `Write a post as ${firstName(me.name)}`}
        </button>
      </div>
      {isWriting && (
        <PostForm
          onSent={(post) => {
            setWriting(false);
            onPosted(post);
          }}
        />
      )}
      {problem !== null && <Problem text={problem} retry={feed.refresh} />}
      {threads === undefined && problem === null && <Skeleton />}
      {threads?.length === 0 && <p className="empty">Nobody has posted anything yet. Be the first.</p>}
      {arranged.map((thread) => (
        <PostCard
          key={thread.post.id}
          thread={thread}
          isOpened={isSame(openedPostId, thread.post.id)}
          isInviting={invitesAt === thread.post && !isSame(thread.post.authorId, me.id)}
          onCommented={() => setCommented(true)}
        />
      ))}
      {hasOlder && (
        <button type="button" className="link older" onClick={feed.showOlder}>
          Show older posts
        </button>
      )}
    </div>
  );
}

export function arrange(threads: readonly Thread[], pinned: readonly Person[]): readonly Thread[] {
  const firsts = pinned
    .map((person) => threads.find(({ post }) => isSame(post.authorId, person.id)))
    .filter((thread) => thread !== undefined);
  return [...new Set([...firsts, ...threads])];
}

function Problem({ text, retry }: { text: string; retry: () => void }): ReactNode {
  return (
    <div className="card notice" role="alert">
      <p>{text} This is tried again by itself.</p>
      <button type="button" className="secondary" onClick={retry}>
        Try again
      </button>
    </div>
  );
}

function Skeleton(): ReactNode {
  return (
    <div aria-busy="true">
      <p className="hidden">Loading…</p>
      {["62%", "48%", "55%"].map((width) => (
        <div key={width} className="card skeleton" aria-hidden="true">
          <span style={{ width: "35%" }} />
          <span style={{ width }} />
          <span style={{ width: "90%" }} />
        </div>
      ))}
    </div>
  );
}
