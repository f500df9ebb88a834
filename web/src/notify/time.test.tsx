import { act, render, screen } from "@testing-library/react";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { english, LabelsContext } from "./labels.js";
import { Time } from "./parts.js";
import { dayName, relativeTime } from "./time.js";

beforeEach(() => void vi.stubEnv("TZ", "Europe/Berlin"));
afterEach(() => void vi.unstubAllEnvs());

const NOW = "2026-11-25T10:00:00Z"; // a Wednesday, 11:00 in Berlin
const ago = (then: string, now = NOW, locale = "en-GB") =>
  relativeTime(new Date(then), Date.parse(now), locale);
const day = (then: string, now = NOW, locale = "en-GB") => dayName(new Date(then), Date.parse(now), locale);

describe("how long ago", () => {
  test.each([
    ["2026-11-25T10:00:00Z", "now"],
    ["2026-11-25T09:59:01Z", "now"],
    ["2026-11-25T09:59:00Z", "1 min ago"],
    ["2026-11-25T09:00:01Z", "59 min ago"],
    ["2026-11-25T09:00:00Z", "1 hr ago"],
    ["2026-11-24T10:00:01Z", "23 hr ago"],
    ["2026-11-24T10:00:00Z", "yesterday"],
    ["2026-11-18T10:00:01Z", "7 days ago"],
    ["2026-11-18T10:00:00Z", "18 Nov"],
    ["2025-12-31T10:00:00Z", "31 Dec 2025"],
  ])("%s is %s", (then, said) => {
    expect(ago(then)).toBe(said);
  });

  test("is of the calendar's days: on Wednesday morning Monday noon is not yesterday", () => {
    expect(ago("2026-11-23T11:00:00Z")).toBe("2 days ago");
    expect(day("2026-11-23T11:00:00Z")).toBe("Monday");
  });

  test("counts a day of 25 hours as one", () => {
    expect(ago("2026-10-24T12:00:00Z", "2026-10-25T22:30:00Z")).toBe("yesterday");
  });

  test("is never in the future, where this clock is behind", () => {
    expect(ago("2026-11-25T10:00:30Z")).toBe("now");
    expect(ago("2027-01-01T00:00:00Z")).toBe("now");
    expect(day("2026-11-27T10:00:00Z")).toBe("Today");
  });

  test("is said in the language of whoever looks", () => {
    expect(ago("2026-11-24T10:00:00Z", NOW, "de")).toBe("gestern");
    expect(day("2026-11-24T10:00:00Z", NOW, "de")).toBe("Gestern");
    expect(day("2026-11-21T10:00:00Z", NOW, "de")).toBe("Samstag");
  });
});

test.each([
  ["2026-11-24T23:00:00Z", "Today"],
  ["2026-11-24T22:59:59Z", "Yesterday"],
  ["2026-11-22T23:30:00Z", "Monday"],
  ["2026-11-19T10:00:00Z", "Thursday"],
  ["2026-11-18T10:00:00Z", "18 November 2026"],
])("the day of %s is called %s", (then, name) => {
  expect(day(then)).toBe(name);
});

test.each([
  ["spring", "2026-03-29T22:00:00Z", "2026-03-29T00:00:00Z"],
  ["autumn", "2026-10-25T23:00:00Z", "2026-10-24T22:30:00Z"],
])("the day before is yesterday when the clocks change in %s", (_, now, then) => {
  expect(day(then, now)).toBe("Yesterday");
});

describe("a time on the screen", () => {
  const timeOf = (text: string) => screen.getByText(text);
  const show = (at: string) =>
    render(
      <LabelsContext.Provider value={{ ...english, locale: "en-GB" }}>
        <Time at={at} />
        <Time at={at} />
      </LabelsContext.Provider>,
    );

  test("moves on by itself, by one timer for all, that ends with the last", async () => {
    vi.useFakeTimers({ now: Date.parse(NOW) });
    const { unmount } = show(NOW);
    expect(screen.getAllByText("now")).toHaveLength(2);
    expect(vi.getTimerCount()).toBe(1);
    await act(() => vi.advanceTimersByTimeAsync(60_000));
    expect(screen.getAllByText("1 min ago")).toHaveLength(2);
    unmount();
    expect(vi.getTimerCount()).toBe(0);
  });

  test("is right at once when a tab comes back that slept", () => {
    vi.useFakeTimers({ now: Date.parse(NOW) });
    show(NOW);
    vi.setSystemTime(Date.parse(NOW) + 3 * 3_600_000);
    act(() => void document.dispatchEvent(new Event("visibilitychange")));
    expect(screen.getAllByText("3 hr ago")).toHaveLength(2);
  });

  test("says to machines and on demand when exactly", () => {
    vi.useFakeTimers({ now: Date.parse(NOW) });
    render(<Time at="2026-11-25T10:00:00.000Z" />);
    expect(timeOf("now")).toHaveProperty("dateTime", "2026-11-25T10:00:00.000Z");
    expect(timeOf("now").title).toContain("2026");
  });
});
