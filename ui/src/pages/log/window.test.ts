import { describe, expect, it } from "vitest";
import { appended, LINES_MAX, opened, prepended, type Page } from "./window";

const page = (first: number, count: number, next: string | null = null) =>
  ({
    lines: Array.from({ length: count }, (_, index) => ({ number: first + index })),
    next,
    looked: first + count - 1,
    total: 1_000_000,
  }) as unknown as Page;
const range = ({ lines }: { lines: readonly { number: number }[] }) => [
  lines[0]?.number,
  lines.at(-1)?.number,
];

describe("the loaded lines of a log", () => {
  it("drop the first where lines come after them", () => {
    // Would catch: a tab that takes gigabytes while it follows a log for a day.
    const loaded = appended(opened(page(1, LINES_MAX)), page(LINES_MAX + 1, 500, "c2"));
    expect(loaded.lines).toHaveLength(LINES_MAX);
    expect(range(loaded)).toEqual([501, LINES_MAX + 500]);
    expect(loaded.next).toEqual({ cursor: "c2" });
  });

  it("drop the last where lines come before them, and go on after the rest", () => {
    // Would catch: a gap in the log after somebody has gone up and down.
    const loaded = prepended(opened(page(501, LINES_MAX, "c2")), page(1, 500));
    expect(range(loaded)).toEqual([1, LINES_MAX]);
    expect(loaded.next).toEqual({ line: LINES_MAX + 1 });
    expect(loaded.page.looked).toBe(LINES_MAX);
  });

  it("stay where a followed log has nothing new", () => {
    // Would catch: an empty log as soon as the attempt pauses.
    const loaded = appended(opened(page(1, 10)), page(11, 0, "c2"));
    expect(range(loaded)).toEqual([1, 10]);
  });
});
