/** Every word that the components say, to be replaced one by one: `labels={{ markAllRead: "Alle gelesen" }}`. */

import { createContext, useContext } from "react";
import type { Status } from "./client.js";

/** Text in which some parts stand out. */
export type Phrase = readonly (string | { readonly strong: string })[];

export interface CommentsOf {
  /** Who commented, each once, newest first; empty where the server names nobody. */
  readonly names: readonly string[];
  /** How many comments. */
  readonly count: number;
  /** The post's title, where the app gives it. */
  readonly title: string | undefined;
}

export interface Labels {
  /** BCP 47, for dates and times; English as the words are. */
  locale: string;
  title: string;
  bell: (unread: number) => string;
  /** Said to screen readers when several come at once. */
  arrived: (count: number) => string;
  comments: (of: CommentsOf) => Phrase;
  /** Where a notification has no message of its own. */
  untitled: string;
  unread: string;
  markAllRead: string;
  markRead: string;
  markUnread: string;
  remove: string;
  mutePost: string;
  mutePerson: (name: string) => string;
  actions: string;
  showEach: (count: number) => string;
  hideEach: string;
  older: string;
  close: string;
  muted: string;
  back: string;
  nothingMuted: string;
  unmute: string;
  topic: (kind: string, id: string) => string;
  loading: string;
  empty: string;
  emptyHint: string;
  retry: string;
  /** Instead of `status.offline`, where nothing has come yet. */
  waiting: string;
  /** What the centre says of the connection; empty where there is nothing to say. */
  status: Readonly<Record<Status, string>>;
}

export const english: Labels = {
  locale: "en",
  title: "Notifications",
  bell: (unread) => (unread === 0 ? "Notifications" : `Notifications, ${unread} unread`),
  arrived: (count) => `${count} new notifications`,
  comments: ({ names: [first = "Somebody", second, ...rest], count, title }) => [
    { strong: first },
    ...(second === undefined
      ? []
      : [" and ", { strong: rest.length === 0 ? second : `${rest.length + 1} others` }]),
    second === undefined && count > 1 ? ` commented ${count} times on ` : " commented on ",
    title === undefined ? "your post" : { strong: title },
  ],
  untitled: "Something happened",
  unread: "unread",
  markAllRead: "Mark all as read",
  markRead: "Mark as read",
  markUnread: "Mark as unread",
  remove: "Delete",
  mutePost: "Mute this post",
  mutePerson: (name) => `Mute ${name}`,
  actions: "Actions",
  showEach: (count) => `Show all ${count}`,
  hideEach: "Show less",
  older: "Show older ones",
  close: "Close",
  muted: "Muted",
  back: "Back",
  nothingMuted: "Nothing is muted.",
  unmute: "Unmute",
  topic: (kind, id) =>
    `${
      new Map([
        ["post", "Post"],
        ["user", "Person"],
      ]).get(kind) ?? kind
    } ${id}`,
  loading: "Loading…",
  empty: "Nothing here yet",
  emptyHint: "When somebody comments on your post, you will see it here.",
  retry: "Try again",
  waiting: "Offline. Your notifications come when the connection is back.",
  status: {
    connecting: "",
    "catching up": "Catching up…",
    live: "",
    offline: "Offline. What you do here is sent when the connection is back.",
    refused: "You are not connected. Please sign in again.",
  },
};

/** As an app gives them: any of them. */
export type SomeLabels = Partial<Omit<Labels, "status">> & { status?: Partial<Labels["status"]> };

export function withLabels(labels: SomeLabels | undefined): Labels {
  return { ...english, ...labels, status: { ...english.status, ...labels?.status } };
}

export const LabelsContext = createContext<Labels>(english);

export const useLabels = (): Labels => useContext(LabelsContext);
