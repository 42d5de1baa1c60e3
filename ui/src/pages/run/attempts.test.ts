import { describe, expect, it } from "vitest";
import { axisOf, triesOf, type Attempt } from "./attempts";

const attempt = (id: string, node: string, partitions: string[], ...phases: [string, string][]) =>
  ({
    id,
    node,
    kind: "run",
    partitions,
    phases: phases.map(([from, to]) => ({ from, to })),
  }) as Attempt;

describe("attempts over time", () => {
  it("span the first beginning to the last end", () => {
    // Would catch: a bar outside of the chart, of an attempt that ended after a later one.
    const long = attempt("1", "a", ["d"], ["2025-03-03T12:00:00Z", "2025-03-03T12:10:00Z"]);
    const short = attempt("2", "b", ["d"], ["2025-03-03T12:01:00Z", "2025-03-03T12:02:00Z"]);
    expect(axisOf([short, long])).toEqual({
      from: Date.parse("2025-03-03T12:00:00Z"),
      seconds: 600,
    });
  });

  it.each([[[]], [[attempt("1", "a", ["d"])]]])(
    "of %j have an axis that can be divided by",
    (attempts) => {
      // Would catch: bars at NaN % while nothing has begun yet.
      const { from, seconds } = axisOf(attempts);
      expect(Number.isFinite(from)).toBe(true);
      expect(seconds).toBeGreaterThan(0);
    },
  );

  it("are numbered for the same partitions of the same node", () => {
    // Would catch: "try 2" of a partition that was tried once.
    const attempts = [
      attempt("1", "a", ["d1"]),
      attempt("2", "a", ["d2"]),
      attempt("3", "a", ["d1"]),
    ];
    expect([...triesOf(attempts)]).toEqual([
      ["1", 1],
      ["2", 1],
      ["3", 2],
    ]);
  });
});
