import { expect, test } from "vitest";
import { readChoice, searchOf } from "./choice";

const ada = { id: 1, name: "Ada" };
const grace = { id: "2", name: "Grace" };
const linus = { id: 3, name: "Linus" };
const people = [ada, grace, linus];

test.each([
  ["", { left: ada, right: grace, alone: undefined }],
  ["?left=3", { left: linus, right: grace, alone: undefined }],
  ["?left=2&right=1", { left: grace, right: ada, alone: undefined }],
  ["?as=2", { left: ada, right: grace, alone: grace }],
  ["?left=99&as=nobody", { left: ada, right: grace, alone: undefined }],
])("%s chooses who is shown", (search, choice) => {
  expect(readChoice(search, people)).toEqual(choice);
});

test.each(["?left=1&right=3", "?as=2"])("%s is written as it was read", (search) => {
  const choice = readChoice(search, people);
  expect(choice && searchOf(choice)).toBe(search);
});

test("one person sees both windows, and nobody none", () => {
  expect(readChoice("", [ada])).toEqual({ left: ada, right: ada, alone: undefined });
  expect(readChoice("", [])).toBeUndefined();
});
