import { describe, expect, it } from "vitest";
import { attemptAddress, blocksOf, cellOf, cellText, moved, unpublished } from "./grid";

const row = {
  node: "a b",
  kind: "asset",
  owner: "core",
  states: [null, "failed", "published"],
  runs: [null, "7", "8"],
  attempts: [null, "1.2", "1.3"],
  counts: [0, 2, 24],
  partitions: [0, 3, 24],
  truncated: false,
};
const extent = { rows: 100, columns: 3, page: 20 };

describe("a cell of the grid", () => {
  it("says how many of its partitions are in its state, and where the attempt is", () => {
    // Would catch: "failed" of a day on which 1 of 24 hours failed.
    const cell = cellOf(row, 1);
    expect(cellText(cell)).toBe("failed, 2 of 3 partitions");
    expect(cell && attemptAddress(cell)).toBe("/runs/7?attempt=1.2");
    expect(cellOf(row, 0)).toBeNull();
    expect(cellOf(row, -1)).toBeNull();
    expect(cellText(null)).toBe("nothing attempted");
  });

  it("is in the table unless it was published", () => {
    // Would catch: a table of thousands of good cells, or one without the failure.
    const days = ["2025-03-01", "2025-03-02", "2025-03-03"];
    expect(unpublished(row, days).map((cell) => [cell.day, cell.state])).toEqual([
      ["2025-03-02", "failed"],
    ]);
  });
});

describe("keys", () => {
  it.each([
    ["ArrowLeft", { row: 0, column: 0 }, { row: 0, column: -1 }],
    ["ArrowLeft", { row: 0, column: -1 }, { row: 0, column: -1 }],
    ["ArrowRight", { row: 0, column: 2 }, { row: 0, column: 2 }],
    ["ArrowUp", { row: 0, column: 1 }, { row: 0, column: 1 }],
    ["PageDown", { row: 90, column: 1 }, { row: 99, column: 1 }],
    ["End", { row: 5, column: -1 }, { row: 5, column: 2 }],
  ])("%s leads from %j to %j", (key, from, to) => {
    // Would catch: a focus that leaves the grid at its edges.
    expect(moved(from, key, extent)).toEqual(to);
  });

  it("of letters are the page's", () => {
    // Would catch: a grid that swallows g r, / and Ctrl+K.
    expect(moved({ row: 0, column: 0 }, "g", extent)).toBeNull();
  });
});

it.each([
  [0, 20, [0]],
  [40, 20, [0, 1]],
  [120, 10, [2]],
])("rows in sight from %i are in blocks", (top, rows, blocks) => {
  // Would catch: rows at the edge of two blocks that are never fetched.
  expect(blocksOf(top, rows)).toEqual(blocks);
});
