/**
 * What goes over the wire, and its way from `unknown` into types: nothing else in here reads what a server sent.
 */

/** A notification in the inbox. `seq` numbers a user's notifications, rising; times are ISO 8601, UTC. */
export interface Entry {
  seq: number;
  type: string;
  /** What one can mute: `post:7`. */
  topic: string | null;
  /** The topic of whoever did it: `user:9`. */
  actor: string | null;
  payload: Payload;
  createdAt: string;
  seenAt: string | null;
  readAt: string | null;
}

/** As the app's server drafted it; a comment has `postId`, `commentId`, `fromUser` and `message`. */
export interface Payload {
  readonly [key: string]: unknown;
  message?: string;
  fromUser?: string;
  postId?: string | number;
  commentId?: string | number;
}

/** The first argument of the event `notification`. */
export type Notification = Payload & { type: string };

export interface Counts {
  unread: number;
  unseen: number;
  version: number;
}

export interface Page extends Counts {
  entries: Entry[];
  /** The `before` of the next page, null at the end. */
  next: number | null;
}

/** One step of an inbox, from a version to a later one; or, with `from` = `to`, where the inbox is. */
export interface Change {
  from: number;
  to: number;
  unread: number;
  unseen: number;
  added?: Entry[];
  removed?: number[];
  markedSeen?: { upTo: number; at: string };
  markedRead?: { seqs: number[]; at: string };
  markedUnread?: { seqs: number[] };
  /** It cannot be told what changed. */
  reload?: true;
}

/** `error` is for people, `code` for programs; `retryAfter` seconds where the same request may succeed later. */
export interface Refusal {
  error: string;
  code: string;
  retryAfter?: number;
}

const LONGEST_WAIT_S = 3600; // a timer that is told more than 24 days fires at once

type Fields = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Fields => typeof value === "object" && value !== null;
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isText = (value: unknown): value is string => typeof value === "string";
const isTextOrNull = (value: unknown): value is string | null => value === null || isText(value);
const isId = (value: unknown): value is string | number => isText(value) || Number.isFinite(value);
const isTime = (value: unknown): value is string => isText(value) && !Number.isNaN(Date.parse(value));
const isSeqs = (value: unknown): value is number[] => Array.isArray(value) && value.every(isCount);

/** Keeps the fields that we read ourselves only where they have the type that we read them as. */
function readPayload(value: Fields): Payload {
  const { message, fromUser, postId, commentId, ...others } = value;
  return {
    ...others,
    ...(isText(message) && { message }),
    ...(isText(fromUser) && { fromUser }),
    ...(isId(postId) && { postId }),
    ...(isId(commentId) && { commentId }),
  };
}

export function readNotification(value: unknown): Notification | undefined {
  if (!isObject(value)) return undefined;
  return { ...readPayload(value), type: isText(value.type) ? value.type : "" };
}

/** `"<seq>.<tag>"`; the tag is of user and database, so that a seq is comparable only with those of its own tag. */
export function readOffset(value: unknown): { seq: number; tag: string } | undefined {
  const parts = isText(value) ? /^(\d+)\.(.+)$/.exec(value) : null;
  const seq = Number(parts?.[1]);
  return parts?.[2] && isCount(seq) ? { seq, tag: parts[2] } : undefined;
}

export function readEntry(value: unknown): Entry | undefined {
  if (!isObject(value) || !isCount(value.seq) || !isText(value.type) || !isTime(value.createdAt))
    return undefined;
  const { seq, type, createdAt, topic, actor, payload, seenAt, readAt } = value;
  return {
    seq,
    type,
    createdAt,
    topic: isTextOrNull(topic) ? topic : null,
    actor: isTextOrNull(actor) ? actor : null,
    payload: isObject(payload) ? readPayload(payload) : {},
    seenAt: isTextOrNull(seenAt) ? seenAt : null,
    readAt: isTextOrNull(readAt) ? readAt : null,
  };
}

const readEntries = (values: unknown[]): Entry[] =>
  values.map(readEntry).filter((entry) => entry !== undefined);

export function readCounts(value: unknown): Counts | undefined {
  if (!isObject(value)) return undefined;
  const { unread, unseen, version } = value;
  return isCount(unread) && isCount(unseen) && isCount(version) ? { unread, unseen, version } : undefined;
}

export function readPage(value: unknown): Page | undefined {
  const counts = readCounts(value);
  if (!counts || !isObject(value) || !Array.isArray(value.notifications)) return undefined;
  return {
    ...counts,
    entries: readEntries(value.notifications),
    next: isCount(value.next) ? value.next : null,
  };
}

export function readMutes(value: unknown): string[] | undefined {
  if (!isObject(value) || !Array.isArray(value.mutes)) return undefined;
  const topics = value.mutes.map((mute: unknown) => (isObject(mute) ? mute.topic : undefined));
  return [...new Set(topics.filter(isText))];
}

/** What it does not understand, from a later server, becomes a `reload`. */
export function readChange(value: unknown): Change | undefined {
  if (!isObject(value) || !isCount(value.from) || !isCount(value.to)) return undefined;
  const { from, to, unread, unseen, added, removed, markedSeen, markedRead, markedUnread } = value;
  if (!isCount(unread) || !isCount(unseen)) return undefined;
  const change = { from, to, unread, unseen };
  if (from === to) return change;
  if (Array.isArray(added)) return { ...change, added: readEntries(added) };
  if (isSeqs(removed)) return { ...change, removed };
  if (isObject(markedSeen) && isCount(markedSeen.upTo) && isText(markedSeen.at))
    return { ...change, markedSeen: { upTo: markedSeen.upTo, at: markedSeen.at } };
  if (isObject(markedRead) && isSeqs(markedRead.seqs) && isText(markedRead.at))
    return { ...change, markedRead: { seqs: markedRead.seqs, at: markedRead.at } };
  if (isObject(markedUnread) && isSeqs(markedUnread.seqs))
    return { ...change, markedUnread: { seqs: markedUnread.seqs } };
  return { ...change, reload: true };
}

export function readRefusal(value: unknown): Refusal | undefined {
  if (!isObject(value) || !isText(value.error)) return undefined;
  const refusal = { error: value.error, code: isText(value.code) ? value.code : "" };
  if (!isCount(value.retryAfter)) return refusal;
  return { ...refusal, retryAfter: Math.min(value.retryAfter, LONGEST_WAIT_S) };
}
