import { createContext, useContext, useEffect, useLayoutEffect, useMemo, useSyncExternalStore } from "react";
import { type Connection, NotifyClient, type NotifyOptions } from "./client.js";
import type { Inbox, InboxStore } from "./inboxStore.js";

const ClientContext = createContext<NotifyClient | null>(null);

/** Makes what `useNotifications` returned known to the components below: `<NotifyProvider value={notify}>`. */
export const NotifyProvider = ClientContext.Provider;

/** Throws where there is no `<NotifyProvider>` above. */
export function useNotifyClient(): NotifyClient {
  const client = useContext(ClientContext);
  if (!client) throw new Error("There is no <NotifyProvider> above this component.");
  return client;
}

/**
 * One socket for one user, as long as the component is mounted; each notification is handed to `onNotification` once.
 * Mount it where the user is known, once. Without a user, nothing is opened.
 */
export function useNotifications(
  userId: string | number | null | undefined,
  options: NotifyOptions = {},
): NotifyClient {
  const { url } = options;
  // biome-ignore lint/correctness/useExhaustiveDependencies: the rest of the options is kept up to date below
  const client = useMemo(() => new NotifyClient(userId ?? null, options), [userId, url]);
  useLayoutEffect(() => {
    const before = client.options.auth;
    client.options = options;
    if (client.getSnapshot().status === "refused" && isOther(before, options.auth)) client.reconnect();
  });
  const isKnown = userId !== null && userId !== undefined;
  useEffect(() => (isKnown ? client.open() : undefined), [client, isKnown]);
  return client;
}

/** Whether there is something else to be said than what was refused. What a function says is not known before. */
function isOther(before: NotifyOptions["auth"], now: NotifyOptions["auth"]): boolean {
  return typeof now === "object" && JSON.stringify(before) !== JSON.stringify(now);
}

/** The state of the connection. */
export function useConnection(): Connection {
  const client = useNotifyClient();
  return useSyncExternalStore(client.subscribe, client.getSnapshot, client.getSnapshot);
}

/** Only how many there are: it costs no request. */
export function useCounts(): Pick<Inbox, "unread" | "unseen"> {
  const { inbox } = useNotifyClient();
  const unreadOf = () => inbox.getSnapshot().unread;
  const unseenOf = () => inbox.getSnapshot().unseen;
  const unread = useSyncExternalStore(inbox.subscribe, unreadOf, unreadOf);
  const unseen = useSyncExternalStore(inbox.subscribe, unseenOf, unseenOf);
  return { unread, unseen };
}

type Actions = Pick<
  InboxStore,
  | "loadMore"
  | "reload"
  | "markSeen"
  | "markRead"
  | "markUnread"
  | "markAllRead"
  | "remove"
  | "mute"
  | "unmute"
>;

/**
 * The inbox, fetched and kept up to date as long as the component is mounted. What is done with it shows at once, also
 * while offline; the server's word replaces it.
 */
export function useInbox(): Inbox & Actions & Connection {
  const { inbox } = useNotifyClient();
  const connection = useConnection();
  useEffect(() => inbox.watch(), [inbox]);
  const state = useSyncExternalStore(inbox.subscribe, inbox.getSnapshot, inbox.getSnapshot);
  const { loadMore, reload, markSeen, markRead, markUnread, markAllRead, remove, mute, unmute } = inbox;
  return {
    ...state,
    ...connection,
    loadMore,
    reload,
    markSeen,
    markRead,
    markUnread,
    markAllRead,
    remove,
    mute,
    unmute,
  };
}
