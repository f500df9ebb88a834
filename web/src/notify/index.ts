export type { Arrival, Connection, NotifyOptions, Status } from "./client";
export { NotifyClient } from "./client";
export {
  NotifyProvider,
  useConnection,
  useCounts,
  useInbox,
  useNotifications,
  useNotifyClient,
} from "./hooks";
export type { Inbox } from "./inboxStore";
export type { CommentsOf, Labels, Phrase } from "./labels";
export { NotificationBell, type NotificationBellProps } from "./NotificationBell";
export { NotificationCentre, type NotificationCentreProps } from "./NotificationCentre";
export type { Entry, Notification, Payload } from "./protocol";
