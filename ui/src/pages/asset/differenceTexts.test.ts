import { describe, expect, it } from "vitest";
import type { Schema } from "../../api/client";
import { cutText, sideValue } from "./differenceTexts";

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
      ...{ sample: [], compared: 0, not_compared: 1, whole: false, partition: null },
      ...{ rows_added: 0, rows_removed: 0, rows_changed: 0 },
      ...values,
    }) as Difference;
  it("doesn’t offer the rows of a partition that has too many", () => {
    const own = "Its rows aren’t compared: there are too many for a page.";
    expect(cutText(difference({ partition: "2025-03-03" }))).toBe(own);
    expect(cutText(difference({ whole: true }))).toBe(own);
    expect(cutText(difference({}))).toMatch(/^No rows are compared: the newest partition/);
    expect(cutText(difference({ compared: 2, not_compared: 3 }))).toMatch(/^Rows are those of 2/);
  });
});
