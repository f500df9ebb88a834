import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Api, ApiError } from "./api";
import { Feed } from "./feed";
import type { Id, Post } from "./model";

const post = (id: Id): Post => ({ id, authorId: 1, title: `Post ${id}`, body: "" });
const comment = { id: 5, postId: 1, authorId: 2, body: "Hello", createdAt: "2026-01-01T00:00:00.000Z" };
const gone = new ApiError("there is no such post", 404);

const api = new Api({ people: [], socketPath: "", bodyField: "body", apiPrefix: "" }, 1);
const posts = vi.fn(api.posts);
const single = vi.fn(api.post);
const comments = vi.fn(api.comments);
Object.assign(api, { posts, post: single, comments });
let closing: (() => void)[] = [];

beforeEach(() => {
  vi.useFakeTimers();
  posts.mockResolvedValue({ posts: [post(2), post(1)], hasOlder: false });
  single.mockImplementation(async (id) => post(id));
  comments.mockResolvedValue([]);
});

afterEach(() => {
  for (const close of closing) close();
  closing = [];
  for (const mock of [posts, single, comments]) mock.mockReset();
});

async function open(): Promise<Feed> {
  const feed = new Feed(api);
  closing.push(feed.open());
  await vi.waitFor(() => expect(feed.getSnapshot().threads ?? feed.getSnapshot().problem).toBeTruthy());
  return feed;
}

const shown = (feed: Feed) => feed.getSnapshot().threads?.map((thread) => thread.post.id);

test("posts come with their comments, and one that goes meanwhile is left out", async () => {
  comments.mockImplementation(async (id) => {
    if (id === 2) throw gone;
    return [comment];
  });
  const feed = await open();
  expect(feed.getSnapshot().threads).toEqual([{ post: post(1), comments: [comment] }]);
});

test("what is asked for while it loads makes one more, not many", async () => {
  const feed = await open();
  posts.mockClear();
  for (let times = 0; times < 5; times += 1) feed.refresh();
  await vi.waitFor(() => expect(posts).toHaveBeenCalledTimes(2));
  await vi.runAllTimersAsync();
  expect(posts).toHaveBeenCalledTimes(2);
});

test("a server that is away is asked again by itself", async () => {
  posts.mockRejectedValueOnce(new ApiError("The server cannot be reached.", 0));
  const feed = await open();
  expect(feed.getSnapshot()).toMatchObject({ threads: undefined, problem: "The server cannot be reached." });
  await vi.runAllTimersAsync();
  expect(feed.getSnapshot().problem).toBeNull();
  expect(shown(feed)).toEqual([2, 1]);
});

test("the window's focus fetches again, but not while the connection is cut", async () => {
  const feed = await open();
  posts.mockClear();
  feed.isPaused = true;
  window.dispatchEvent(new Event("focus"));
  expect(posts).not.toHaveBeenCalled();
  feed.isPaused = false;
  window.dispatchEvent(new Event("focus"));
  expect(posts).toHaveBeenCalledOnce();
});

test("a post further down is fetched when somebody comes from its notification, and stays", async () => {
  const feed = await open();
  expect(await feed.reveal(9)).toEqual({ post: post(9), comments: [] });
  expect(shown(feed)).toEqual([2, 1, 9]);
  feed.refresh();
  await vi.runAllTimersAsync();
  expect(shown(feed)).toEqual([2, 1, 9]);
});

test("a post that has gone cannot be revealed", async () => {
  const feed = await open();
  single.mockRejectedValueOnce(gone);
  expect(await feed.reveal(9)).toBeUndefined();
  expect(shown(feed)).toEqual([2, 1]);
});

test("older posts are asked for from the last one down", async () => {
  posts.mockImplementation(async (before) =>
    before === undefined ? { posts: [post(2)], hasOlder: true } : { posts: [post(1)], hasOlder: false },
  );
  const feed = await open();
  expect(feed.getSnapshot().hasOlder).toBe(true);
  feed.showOlder();
  await vi.runAllTimersAsync();
  expect(posts).toHaveBeenLastCalledWith(2);
  expect(shown(feed)).toEqual([2, 1]);
});
