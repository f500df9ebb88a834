/** What the app's server says, and its way from `unknown` into types. */

export type Id = string | number;

export interface Person {
  readonly id: Id;
  readonly name: string;
}

/** What the page must know of the server that it came from. */
export interface Config {
  readonly people: readonly Person[];
  readonly socketPath: string;
  /** The name of a comment's text in JSON that is sent. */
  readonly bodyField: string;
  readonly apiPrefix: string;
}

export interface Post {
  readonly id: Id;
  readonly authorId: Id;
  readonly title: string;
  readonly body: string;
}

export interface Comment {
  readonly id: Id;
  readonly postId: Id;
  readonly authorId: Id;
  readonly body: string;
  readonly createdAt: string;
}

/** Ids are compared as text: a URL has no numbers. */
export const isSame = (a: Id | undefined, b: Id | undefined): boolean => String(a) === String(b);

export class Unreadable extends Error {}

type Read<T> = (value: unknown) => T;

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value === "object" && value !== null) return { ...value };
  throw new Unreadable("not an object");
}

function text(value: unknown): string {
  if (typeof value === "string") return value;
  throw new Unreadable("not a text");
}

function id(value: unknown): Id {
  return typeof value === "number" ? value : text(value);
}

export const listOf =
  <T>(read: Read<T>): Read<T[]> =>
  (value) => {
    if (Array.isArray(value)) return value.map(read);
    throw new Unreadable("not a list");
  };

function readPerson(value: unknown): Person {
  const person = fieldsOf(value);
  return { id: id(person.id), name: text(person.name) };
}

export function readConfig(value: unknown): Config {
  const { people, socketPath, bodyField, apiPrefix } = fieldsOf(value);
  return {
    people: listOf(readPerson)(people),
    socketPath: text(socketPath),
    bodyField: text(bodyField),
    apiPrefix: text(apiPrefix),
  };
}

export function readPost(value: unknown): Post {
  const post = fieldsOf(value);
  return {
    id: id(post.id),
    authorId: id(post.authorId),
    title: text(post.title),
    body: text(post.body),
  };
}

export function readComment(value: unknown): Comment {
  const comment = fieldsOf(value);
  return {
    id: id(comment.id),
    postId: id(comment.postId),
    authorId: id(comment.authorId),
    body: text(comment.body),
    createdAt: text(comment.createdAt),
  };
}
