import { expect, it } from "vitest";
import { nodePartition, partitionName, partitionRange } from "./partitions";

it.each([
  [[], ""],
  [["d1"], "d1"],
  [["*"], ""],
  [["*", "d1", "d2"], "2 partitions, d1 to d2"],
  [["d1", "d2", "d3"], "3 partitions, d1 to d3"],
])("partitions %j beside their node are “%s”", (partitions, text) => {
  expect(partitionRange(partitions)).toBe(text);
});

it("names the only partition of a node that isn’t partitioned in words", () => {
  // Would catch: the key `*`, which nobody typed, in a table or beside a name.
  expect(["*", "2025-03-01"].map(partitionName)).toEqual(["all of it", "2025-03-01"]);
  expect([nodePartition("rates", "*"), nodePartition("rates", null)]).toEqual(["rates", "rates"]);
  expect(nodePartition("daily", "2025-03-01")).toBe("daily 2025-03-01");
});
