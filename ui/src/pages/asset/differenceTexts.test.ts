import { describe, expect, it } from "vitest";
import type { Schema } from "../../api/client";
import { commandText, cutText, sideValue } from "./differenceTexts";

type Difference = Schema["SnapshotDifferenceResponse"];

const dev = { env: "dev", snapshot: 7 };

describe("a side in the address", () => {
  it("is a snapshot of this server, or an environment", () => {
    expect(sideValue(dev, null)).toBe("7");
    expect(sideValue(dev, "2025-03-03T09:00")).toBe("7");
    expect(sideValue(dev, "dev")).toBe("dev");
  });
  it("is nothing where a number would name a snapshot of another environment", () => {
    expect(sideValue(dev, null, "dev")).toBeNull();
    expect(sideValue(dev, "3", "5")).toBe("7");
  });
});

describe("what isn’t on the page", () => {
  const difference = (values: Partial<Difference>) =>
    ({
      ...{ sample: [], compared: 0, not_compared: 1, too_large: 1, whole: false, partition: null },
      ...{ rows_added: 0, rows_removed: 0, rows_changed: 0 },
      ...values,
    }) as Difference;
  it("doesn’t offer the rows of a partition that has too many", () => {
    const own = "Its rows aren’t compared: there are too many for a page.";
    expect(cutText(difference({ partition: "2025-03-03" }))).toBe(own);
    expect(cutText(difference({ whole: true }))).toBe(own);
  });
  it.each([
    [0, 1, 1, "No rows are compared: the partition that differs has too many for a page."],
    [
      0,
      2,
      2,
      "No rows are compared: each of the 2 partitions that differ has too many for a page.",
    ],
    [
      ...[2, 3, 0],
      "Rows are those of 2 partitions, the newest that differ. With 3 others there would be too many: choose one above to see its rows.",
    ],
    [...[1, 1, 1], "Rows are those of 1 partition. 1 more has too many rows for a page."],
    [
      ...[2, 5, 2],
      "Rows are those of 2 partitions. 2 more have too many rows for a page. With 3 others there would be too many: choose one above to see its rows.",
    ],
  ] as const)("is said of %i compared, %i not, %i too large", (compared, left, large, text) => {
    // Would catch: a choice that is offered although no partition can be compared.
    const values = { compared, not_compared: left, too_large: large };
    expect(cutText(difference(values))).toBe(text);
  });
  it("is compared by a command, which is for all assets between environments", () => {
    const side = (env: string) => ({ env, snapshot: 1, at: null, partitions: 1 });
    const between = (left: string, right: string) =>
      commandText(difference({ left: side(left), right: side(right) }));
    expect(between("prod", "prod")).toBe("To compare the rows of all that differs, run");
    expect(between("prod", "dev")).toContain("of all assets with production");
  });
});
