/** A test fails where something complains: React of keys, act() or markup, and our own code of anything. */

import { format } from "node:util";
import { cleanup } from "@testing-library/react";
import { afterEach, beforeEach, expect, vi } from "vitest";

Object.assign(globalThis, { IS_REACT_ACT_ENVIRONMENT: true });

/** jsdom has none and says so; axe-core does without. */
if (typeof HTMLCanvasElement !== "undefined") HTMLCanvasElement.prototype.getContext = () => null;

const complaints: string[] = [];

beforeEach(() => {
  for (const kind of ["error", "warn"] as const)
    vi.spyOn(console, kind).mockImplementation((...words) => void complaints.push(format(...words)));
});

afterEach(() => {
  cleanup();
  vi.useRealTimers();
  expect(complaints.splice(0)).toEqual([]);
});
