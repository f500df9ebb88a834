/** One person's window: a small app with a feed, a bell and toasts, as they would see it. */

import { type ReactNode, useEffect, useId, useMemo, useSyncExternalStore } from "react";
import { NotificationBell, NotifyProvider, useCounts, useNotifications } from "../notify";
import { Avatar } from "../notify/parts";
import { Api } from "./api";
import { type Choice, type Side, searchOf } from "./choice";
import { ConnectionState, ConnectionSwitch, useCut } from "./connection";
import { FeedList } from "./FeedList";
import { Feed } from "./feed";
import { type Config, type Id, isSame, type Person } from "./model";
import { useSetting } from "./setting";
import { type Opening, useOpening } from "./target";
import { clearToasts, showToast, Toasts } from "./toasts";
import { useWindow, WindowProvider } from "./window";

interface PaneProps {
  config: Config;
  choice: Choice;
  side: Side;
  onChoose: (id: Id) => void;
  onUnread: (unread: number) => void;
}

export function Pane({ config, choice, side, onChoose, onUnread }: PaneProps): ReactNode {
  const me = choice.alone ?? choice[side];
  const other = choice.alone ? undefined : choice[side === "left" ? "right" : "left"];
  const api = useMemo(() => new Api(config, me.id), [config, me.id]);
  const feed = useMemo(() => new Feed(api), [api]);
  const { target, problem, open } = useOpening(feed, side);
  const [once, setOnce] = useSetting("notify-demo-toasts", ["each", "once"]);
  const notify = useNotifications(me.id, {
    oncePerBrowser: once === "once",
    socket: { path: config.socketPath },
    onNotification: (notification) => {
      feed.refresh();
      const { postId, commentId } = notification;
      showToast(side, notification, () => void (postId !== undefined && open(postId, commentId)));
    },
  });
  const [isCut, cut] = useCut(notify);

  useEffect(() => feed.open(), [feed]);
  useEffect(() => {
    feed.isPaused = isCut;
    if (!isCut) feed.refresh();
  }, [feed, isCut]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the toasts of one person are not another's
  useEffect(() => () => clearToasts(side), [side, me.id]);

  const nameOf = (id: Id) => config.people.find((person) => isSame(person.id, id))?.name ?? `Person ${id}`;
  const isTwice = other && side === "right" && isSame(other.id, me.id);
  const label = `${me.name}'s ${isTwice ? "second " : ""}window`;

  return (
    <NotifyProvider value={notify}>
      <WindowProvider value={{ side, me, other, nameOf, api, feed }}>
        <section className="pane" aria-label={label}>
          <header className="top">
            <h2>Marginalia</h2>
            <ConnectionState />
            <Who people={config.people} me={me} onChoose={onChoose} />
            {!choice.alone && <OwnTab href={searchOf({ ...choice, alone: me })} />}
            <Bell key={me.id} open={open} />
          </header>
          <div className="middle">
            <div className="scroll">
              {problem !== null && (
                <p className="card notice" role="alert">
                  {problem}
                </p>
              )}
              <FeedList
                key={me.id}
                pinned={[choice.left, choice.right]}
                openedPostId={target?.postId}
                onPosted={(post) => void open(post.id)}
              />
            </div>
            <Toasts side={side} label={`${label}: toasts`} />
          </div>
          <footer className="bottom">
            <ConnectionSwitch key={me.id} isCut={isCut} cut={cut} />
            <label className="once">
              <input
                type="checkbox"
                checked={once === "once"}
                onChange={(event) => setOnce(event.target.checked ? "once" : "each")}
              />
              Toast once per browser
            </label>
          </footer>
        </section>
        <Unread onUnread={onUnread} />
      </WindowProvider>
    </NotifyProvider>
  );
}

function Who({
  people,
  me,
  onChoose,
}: Pick<PaneProps, "onChoose"> & { people: readonly Person[]; me: Person }) {
  const id = useId();
  return (
    <div className="who">
      <Avatar name={me.name} />
      <label htmlFor={id} className="hidden">
        You are
      </label>
      <select id={id} value={String(me.id)} onChange={(event) => onChoose(event.target.value)}>
        {people.map((person) => (
          <option key={person.id} value={String(person.id)}>
            {person.name}
          </option>
        ))}
      </select>
    </div>
  );
}

function Bell({ open }: Pick<Opening, "open">): ReactNode {
  const { feed, nameOf } = useWindow();
  const { threads } = useSyncExternalStore(feed.subscribe, feed.getSnapshot);
  const titleOf = (id: Id | undefined) => threads?.find(({ post }) => isSame(post.id, id))?.post.title;
  return (
    <NotificationBell
      announce={false} // the toasts do
      onOpen={({ payload: { postId, commentId } }) => void (postId !== undefined && open(postId, commentId))}
      postTitle={({ payload }) => titleOf(payload.postId)}
      topicName={(kind, id) => (kind === "user" ? nameOf(id) : titleOf(id))}
    />
  );
}

function OwnTab({ href }: { href: string }): ReactNode {
  return (
    <a className="own-tab" href={href} target="_blank" rel="noreferrer" title="Open in its own tab">
      <span className="hidden">Open in its own tab</span>
      <svg viewBox="0 0 24 24" aria-hidden="true">
        <path d="M14 4.5h5.5V10M19 5l-8 8M10 5H6.5a2 2 0 0 0-2 2v10.5a2 2 0 0 0 2 2H17a2 2 0 0 0 2-2V14" />
      </svg>
    </a>
  );
}

/** Tells what is outside of the window how many there are. */
function Unread({ onUnread }: Pick<PaneProps, "onUnread">): ReactNode {
  const { unread } = useCounts();
  useEffect(() => onUnread(unread), [onUnread, unread]);
  return null;
}
