import { describe, expect, it } from "vitest";
import { editDistance, nearestPages } from "./nearestPages";

describe("pages that are called like a mistyped word", () => {
  it.each([
    ["grpah", ["Graph"]],
    ["graf", ["Graph"]],
    ["incidnets", ["Incidents"]],
    ["runs/5", ["Runs"]],
    ["run", ["Runs"]],
    ["INC-99", ["Incidents"]],
    ["AUDIT", ["Audit"]],
    ["zzzzz", []],
    ["", []],
  ])("%s", (typed, names) => {
    // Would catch: two swapped letters after which nothing is found, or everything for anything.
    expect(nearestPages(typed).map(({ name }) => name)).toEqual(names);
  });

  it("counts swapped neighbours once", () => {
    expect(editDistance("grpah", "graph")).toBe(1);
    expect(editDistance("", "abc")).toBe(3);
    expect(editDistance("abc", "abc")).toBe(0);
  });
});
