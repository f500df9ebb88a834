export type { Arrival, Connection, NotifyOptions, Status } from "./client.js";
export { NotifyClient } from "./client.js";
export {
  NotifyProvider,
  useConnection,
  useCounts,
  useInbox,
  useNotifications,
  useNotifyClient,
} from "./hooks.js";
export type { Inbox } from "./inboxStore.js";
export type { CommentsOf, Labels, Phrase, SomeLabels } from "./labels.js";
export { NotificationBell, type NotificationBellProps } from "./NotificationBell.js";
export { NotificationCentre, type NotificationCentreProps } from "./NotificationCentre.js";
export type { Entry, Notification, Payload } from "./protocol.js";
