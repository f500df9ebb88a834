import { act, render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test, vi } from "vitest";
import { Api, ApiError } from "./api";
import { CommentForm } from "./CommentForm";
import { Feed } from "./feed";
import { WindowProvider } from "./window";

const ada = { id: 1, name: "Ada Lovelace" };
const grace = { id: 2, name: "Grace Hopper" };
const post = { id: 7, authorId: 1, title: "Notes", body: "" };
const comment = { id: 5, postId: 7, authorId: 2, body: "Hello", createdAt: "2026-01-01T00:00:00.000Z" };

function form() {
  const api = new Api({ people: [], socketPath: "", bodyField: "body", apiPrefix: "" }, grace.id);
  const addComment = vi.spyOn(api, "addComment");
  const feed = new Feed(api);
  const wrote = vi.fn();
  render(
    <WindowProvider
      value={{
        side: "right",
        me: grace,
        other: ada,
        nameOf: String,
        api,
        feed: Object.assign(feed, { wrote }),
      }}
    >
      <CommentForm post={post} isInviting onSent={() => undefined} />
    </WindowProvider>,
  );
  const box = screen.getByRole<HTMLTextAreaElement>("textbox", {
    name: "Write a comment as Grace: Ada sees it at once",
  });
  return { addComment, wrote, box, button: screen.getByRole("button", { name: "Comment" }) };
}

test("a comment that was sent leaves the form empty, and the feed is told", async () => {
  const { addComment, wrote, box } = form();
  addComment.mockResolvedValueOnce(comment);
  await userEvent.type(box, "Hello{Control>}{Enter}{/Control}");
  expect(addComment).toHaveBeenCalledWith(7, "Hello", expect.any(String));
  expect(box.value).toBe("");
  expect(wrote).toHaveBeenCalledOnce();
});

test("the text stays where sending failed, and is sent again with the same key", async () => {
  const { addComment, wrote, box, button } = form();
  addComment.mockRejectedValueOnce(new ApiError("The server cannot be reached.", 0));
  addComment.mockResolvedValueOnce(comment);
  await userEvent.type(box, "Hello");
  await userEvent.click(button);
  expect(screen.getByRole("alert").textContent).toContain("The server cannot be reached.");
  expect(box.value).toBe("Hello");
  expect(wrote).not.toHaveBeenCalled();
  await userEvent.click(button);
  expect(addComment.mock.calls[1]).toEqual(addComment.mock.calls[0]);
  expect(screen.queryByRole("alert")).toBeNull();
});

test("another text has another key", async () => {
  const { addComment, box, button } = form();
  addComment.mockRejectedValue(new ApiError("body must not be empty", 422, "body"));
  await userEvent.click(button);
  expect(box.getAttribute("aria-invalid")).toBe("true");
  expect(screen.getByRole("alert").id).toBe(box.getAttribute("aria-describedby"));
  await userEvent.type(box, "Hello");
  await userEvent.click(button);
  expect(addComment.mock.calls[1]?.[2]).not.toBe(addComment.mock.calls[0]?.[2]);
});

test("the button is out of order only while it sends, and says so", async () => {
  const { addComment, box, button } = form();
  let answer: (sent: typeof comment) => void = () => undefined;
  addComment.mockReturnValueOnce(
    new Promise((resolve) => {
      answer = resolve;
    }),
  );
  await userEvent.type(box, "Hello");
  await userEvent.click(button);
  expect(button.getAttribute("aria-disabled")).toBe("true");
  expect(screen.getByRole("status").textContent).toBe("Sending…");
  await userEvent.click(button);
  await act(async () => answer(comment));
  expect(button.getAttribute("aria-disabled")).toBe("false");
  expect(addComment).toHaveBeenCalledOnce();
});
