/** The list of somebody's notifications, newest first, grouped by post. */

import {
  type KeyboardEvent,
  type MouseEvent,
  type ReactNode,
  type RefObject,
  useCallback,
  useEffect,
  useId,
  useMemo,
  useRef,
  useState,
} from "react";
import { type Group, groupByDay } from "./groups.js";
import { useInbox, useNotifyClient } from "./hooks.js";
import { LabelsContext, type SomeLabels, useLabels, withLabels } from "./labels.js";
import { MutedTopics } from "./MutedTopics.js";
import { NotificationRow, type RowActions } from "./NotificationRow.js";
import { Icon } from "./parts.js";
import type { Entry } from "./protocol.js";
import { dayName, useNow } from "./time.js";

export interface NotificationCentreProps {
  /**
   * Somebody opened a notification, which is read by that: show what it is about. Where it is a link, an app with a
   * router of its own calls `event.preventDefault()`.
   */
  onOpen?: ((entry: Entry, event: MouseEvent) => void) | undefined;
  /** Where a notification leads; it is a link then. */
  href?: ((entry: Entry) => string | undefined) | undefined;
  /** The title of the post that a notification is about: "Grace commented on <title>". */
  postTitle?: ((entry: Entry) => string | undefined) | undefined;
  /** What a muted topic is called: `("post", "7") → "Notes on the Analytical Engine"`. */
  topicName?: ((kind: string, id: string) => string | undefined) | undefined;
  labels?: SomeLabels | undefined;
  /** Adds a button that calls it. */
  onClose?: (() => void) | undefined;
}

/** Nothing at all as long as there is no user. */
export function NotificationCentre({ labels, ...props }: NotificationCentreProps): ReactNode {
  const { userId } = useNotifyClient();
  const words = useMemo(() => withLabels(labels), [labels]);
  if (userId === null) return null;
  return (
    <LabelsContext.Provider value={words}>
      <Centre {...props} />
    </LabelsContext.Provider>
  );
}

function Centre({
  onOpen,
  href,
  postTitle,
  topicName,
  onClose,
}: Omit<NotificationCentreProps, "labels">): ReactNode {
  const inbox = useInbox();
  const labels = useLabels();
  const title = useId();
  const centre = useRef<HTMLElement>(null);
  const mutedButton = useRef<HTMLButtonElement>(null);
  useKeptFocus(centre);
  const [isShowingMuted, showMuted] = useState(false);
  useSeen(inbox.loaded && inbox.unseen > 0, inbox.markSeen);
  const { markRead, markUnread, remove, mute } = inbox;
  const open = useCallback(
    (entry: Entry, group: Group, event: MouseEvent) => {
      const unread = group.entries.filter((one) => one.readAt === null).map((one) => one.seq);
      if (unread.length > 0) markRead(unread);
      const isElsewhere = event.ctrlKey || event.metaKey || event.shiftKey; // a link in a tab or window of its own
      if (!isElsewhere) onOpen?.(entry, event);
    },
    [markRead, onOpen],
  );
  const actions: RowActions = { open, href, postTitle, markRead, markUnread, remove, mute };
  const notice = inbox.status === "offline" && !inbox.loaded ? labels.waiting : labels.status[inbox.status];
  return (
    <section ref={centre} className="notify-centre" aria-labelledby={title} tabIndex={-1}>
      <header className="notify-header">
        <h2 id={title}>{labels.title}</h2>
        {!isShowingMuted && inbox.unread > 0 && (
          <button type="button" className="notify-link" onClick={inbox.markAllRead}>
            {labels.markAllRead}
          </button>
        )}
        <button
          ref={mutedButton}
          type="button"
          className="notify-icon-button"
          aria-pressed={isShowingMuted}
          aria-label={labels.muted}
          title={labels.muted}
          onClick={() => showMuted(!isShowingMuted)}
        >
          <Icon of="mute" />
        </button>
        {onClose && (
          <button type="button" className="notify-icon-button" aria-label={labels.close} onClick={onClose}>
            <Icon of="close" />
          </button>
        )}
      </header>
      <div className="notify-notice" role="status" data-status={inbox.status}>
        {notice}
      </div>
      {inbox.error !== null && (
        <div className="notify-error" role="alert">
          <span>{inbox.error}</span>
          <button type="button" className="notify-button" onClick={inbox.reload}>
            {labels.retry}
          </button>
        </div>
      )}
      {isShowingMuted ? (
        <MutedTopics
          mutes={inbox.mutes}
          unmute={inbox.unmute}
          topicName={topicName}
          back={() => {
            showMuted(false);
            mutedButton.current?.focus();
          }}
        />
      ) : (
        <List inbox={inbox} actions={actions} />
      )}
    </section>
  );
}

/** What is on the screen of somebody who looks has been seen. */
function useSeen(isUnseen: boolean, markSeen: () => void): void {
  useEffect(() => {
    if (!isUnseen) return;
    const look = () => {
      if (document.visibilityState === "visible") markSeen();
    };
    look();
    document.addEventListener("visibilitychange", look);
    return () => document.removeEventListener("visibilitychange", look);
  }, [isUnseen, markSeen]);
}

/** Where what has the focus goes away, by what was done with it or on another page, the focus stays in the centre. */
function useKeptFocus(centre: RefObject<HTMLElement | null>): void {
  useEffect(() => {
    const root = centre.current;
    if (!root) return;
    let last: EventTarget | null = null;
    const note = (event: FocusEvent) => {
      last = event.target;
    };
    const forget = ({ target }: FocusEvent) =>
      queueMicrotask(() => {
        if (target === last && target instanceof Node && target.isConnected) last = null;
      });
    const observer = new MutationObserver(() => {
      if (last instanceof Node && !last.isConnected && document.activeElement === document.body)
        root.focus({ preventScroll: true });
    });
    root.addEventListener("focusin", note);
    root.addEventListener("focusout", forget); // some browsers say it of what is taken away as well
    observer.observe(root, { childList: true, subtree: true });
    return () => {
      root.removeEventListener("focusin", note);
      root.removeEventListener("focusout", forget);
      observer.disconnect();
    };
  }, [centre]);
}

function List({ inbox, actions }: { inbox: ReturnType<typeof useInbox>; actions: RowActions }): ReactNode {
  const labels = useLabels();
  const now = useNow();
  const list = useRef<HTMLDivElement>(null);
  const days = useMemo(() => groupByDay(inbox.entries), [inbox.entries]);
  const [focused, setFocused] = useState<string | null>(null);
  const keys = days.flatMap((day) => day.groups.map((group) => group.key));
  const current = focused !== null && keys.includes(focused) ? focused : keys[0];

  if (!inbox.loaded) return inbox.error === null && inbox.status !== "refused" ? <Skeleton /> : null;
  if (keys.length === 0 && !inbox.hasMore)
    return (
      <div className="notify-empty">
        <Icon of="bell" />
        <p>{labels.empty}</p>
        <p className="notify-meta">{labels.emptyHint}</p>
      </div>
    );

  const remove = (seqs: readonly number[]) => {
    focusNeighbour(list.current);
    actions.remove(seqs);
  };
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the arrow keys move among the buttons inside
    <div
      ref={list}
      className="notify-list"
      tabIndex={-1}
      onKeyDown={(event) => moveFocus(event, list.current)}
    >
      {days.map((day) => (
        <section key={day.key} className="notify-day">
          <h3>{dayName(day.date, now, labels.locale)}</h3>
          <ul>
            {day.groups.map((group) => (
              <NotificationRow
                key={group.key}
                group={group}
                actions={{ ...actions, remove }}
                isCurrent={group.key === current}
                onFocus={() => setFocused(group.key)}
              />
            ))}
          </ul>
        </section>
      ))}
      {inbox.hasMore && <Older inbox={inbox} />}
    </div>
  );
}

/** Loads older ones when somebody scrolls near, or by the button. */
function Older({ inbox }: { inbox: ReturnType<typeof useInbox> }): ReactNode {
  const labels = useLabels();
  const button = useRef<HTMLButtonElement>(null);
  const { loadMore, loadingMore, error, entries, status } = inbox;
  const isWaiting = !loadingMore && error === null && (status === "live" || status === "catching up");
  // biome-ignore lint/correctness/useExhaustiveDependencies: looks again when a page has come that left the button in sight
  useEffect(() => {
    if (!isWaiting || !button.current || typeof IntersectionObserver === "undefined") return;
    const observer = new IntersectionObserver(
      (seen) => seen.some((one) => one.isIntersecting) && void loadMore(),
      {
        rootMargin: "300px",
      },
    );
    observer.observe(button.current);
    return () => observer.disconnect();
  }, [isWaiting, loadMore, entries.length]);
  return (
    <button
      ref={button}
      type="button"
      className="notify-link notify-older"
      aria-disabled={loadingMore}
      onClick={() => void loadMore()}
    >
      {loadingMore ? labels.loading : labels.older}
    </button>
  );
}

function Skeleton(): ReactNode {
  const { loading } = useLabels();
  return (
    <div className="notify-list" aria-busy="true">
      <p className="notify-hidden">{loading}</p>
      {["70%", "55%", "62%"].map((width) => (
        <div key={width} className="notify-skeleton" aria-hidden="true">
          <span />
          <span style={{ width }} />
        </div>
      ))}
    </div>
  );
}

const rowsOf = (list: HTMLElement | null): HTMLElement[] => [
  ...(list?.querySelectorAll<HTMLElement>("[data-notify-row]") ?? []),
];

function moveFocus(event: KeyboardEvent, list: HTMLElement | null): void {
  if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const rows = rowsOf(list);
  // the last: a row of an expanded group is within the group's as well
  const isBehind = document.activeElement?.classList.contains("notify-older");
  const at = isBehind
    ? rows.length
    : rows.findLastIndex((row) => row.closest("li")?.contains(document.activeElement));
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1 }[event.key];
  const row = to === undefined ? undefined : rows[Math.min(Math.max(to, 0), rows.length - 1)];
  if (!row) return;
  event.preventDefault();
  row.focus();
}

/** Before the row that has the focus is deleted. */
function focusNeighbour(list: HTMLElement | null): void {
  const rows = rowsOf(list);
  const own = document.activeElement?.closest(".notify-row");
  const at = rows.findLastIndex((row) => own?.contains(row));
  const before = rows.findIndex((row) => own?.contains(row));
  (rows[at + 1] ?? rows[before - 1] ?? list)?.focus();
}
