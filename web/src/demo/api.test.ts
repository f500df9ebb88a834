import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Api, ApiError, fetchConfig } from "./api";

const config = { people: [], socketPath: "/socket.io", bodyField: "content", apiPrefix: "/api" };
const api = new Api(config, 2);
const comment = { id: 5, postId: 1, authorId: 2, body: "Hello", createdAt: "2026-01-01T00:00:00.000Z" };
const fetched = vi.fn<typeof fetch>();

const answer = (body: unknown, status = 200, headers = {}) =>
  new Response(typeof body === "string" ? body : JSON.stringify(body), { status, headers });

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("fetch", fetched);
});

afterEach(() => {
  fetched.mockReset();
});

function sent(at: number): { path: unknown; key: string | null; user: string | null; body: unknown } {
  const [path, options] = fetched.mock.calls[at] ?? [];
  const headers = new Headers(options?.headers);
  return {
    path,
    key: headers.get("Idempotency-Key"),
    user: headers.get("Authorization"),
    body: JSON.parse(String(options?.body)),
  };
}

test("a comment is sent as the user, in the server's field, below its prefix", async () => {
  fetched.mockResolvedValueOnce(answer(comment));
  expect(await api.addComment(1, "Hello", "key")).toEqual(comment);
  expect(sent(0)).toEqual({
    path: "/api/posts/1/comments",
    key: "key",
    user: "User 2",
    body: { content: "Hello" },
  });
});

test.each([
  ["no answer came", () => fetched.mockRejectedValueOnce(new TypeError("Failed to fetch"))],
  ["the server was busy", () => fetched.mockResolvedValueOnce(answer({ error: "busy", code: "busy" }, 503))],
])("where %s, it is sent once more with the same key", async (_, fail) => {
  fail();
  fetched.mockResolvedValueOnce(answer(comment));
  const added = api.addComment(1, "Hello", "key");
  await vi.runAllTimersAsync();
  expect(await added).toEqual(comment);
  expect(sent(1)).toEqual(sent(0));
});

test("what is not valid is not sent again, and names the field", async () => {
  fetched.mockResolvedValueOnce(
    answer({ error: "title must not be empty", code: "invalid", field: "title" }, 422),
  );
  const failure = await api.addPost({ title: "", body: "" }, "key").catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(ApiError);
  expect(failure).toMatchObject({ message: "title must not be empty", status: 422, field: "title" });
  expect(fetched).toHaveBeenCalledTimes(1);
});

test.each(["<html>Bad gateway</html>", '"text"', "null", '{"error": 7}'])(
  "an error without a sentence, %s, still has one",
  async (body) => {
    fetched.mockResolvedValueOnce(answer(body, 500));
    await expect(api.posts()).rejects.toThrow("The server answers with an error (500).");
  },
);

test.each(["", "<html>", "{}", '[{"id": 1}]', '[{"id": {}, "authorId": 1, "title": "", "body": ""}]'])(
  "an answer that is not what it should be, %s, is an error for people",
  async (body) => {
    fetched.mockResolvedValueOnce(answer(body));
    await expect(api.posts()).rejects.toThrow("The server's answer could not be read.");
  },
);

test("the next page of posts is known by the Link header", async () => {
  fetched.mockResolvedValueOnce(answer([], 200, { Link: '</posts?before=3>; rel="next"' }));
  fetched.mockResolvedValueOnce(answer([]));
  expect((await api.posts()).hasOlder).toBe(true);
  expect((await api.posts(3)).hasOlder).toBe(false);
});

test("all comments are fetched, a hundred at a time", async () => {
  const hundred = Array.from({ length: 100 }, (_, at) => ({ ...comment, id: at + 1 }));
  fetched.mockResolvedValueOnce(answer(hundred)).mockResolvedValueOnce(answer([{ ...comment, id: 101 }]));
  expect(await api.comments("a/b")).toHaveLength(101);
  expect(fetched.mock.calls[1]?.[0]).toBe("/api/posts/a%2Fb/comments?limit=100&after=100");
});

test("the configuration is read field by field", async () => {
  fetched.mockResolvedValueOnce(answer({ ...config, people: [{ id: "7", name: "Ada", secret: "x" }] }));
  expect(await fetchConfig()).toEqual({ ...config, people: [{ id: "7", name: "Ada" }] });
});
