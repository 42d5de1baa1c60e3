import { describe, expect, it } from "vitest";
import { causeAddress, eventsOf, groupName, largeShares, pointsOf, type Row } from "./delays";

const share = (percent: string) => ({ percent }) as Row["shares"][number];
const regression = (at: string) => ({ node: "sales", at }) as Row["regressions"][number];
const row = {
  weeks: [
    { week: "2025-03-03", obligations: 2, wait_seconds: 60 },
    { week: "2025-03-10", obligations: 0, wait_seconds: 0 },
  ],
} as unknown as Row;

describe("where the waits went", () => {
  it("lists what shows in percent, and counts the rest", () => {
    // Would catch: a list of fifty rows of 0.00 %.
    const { shares, smaller } = largeShares(["99.98", "0.01", "0.00"].map(share));
    expect(shares.map(({ percent }) => percent)).toEqual(["99.98", "0.01"]);
    expect(smaller).toBe(1);
  });

  it("averages over the obligations of a week", () => {
    // Would catch: a week with two deliveries that looks twice as slow; nothing divided by nothing.
    expect(pointsOf(row).map(({ value }) => value)).toEqual([30, null]);
  });

  it.each([
    ["2025-03-03T00:30:00+01:00", ["2025-03-03"]],
    ["2025-03-16T23:00:00+01:00", ["2025-03-10"]],
    ["2025-03-02T23:00:00+01:00", []],
  ])("puts a node that is slower since %s into its week", (at, weeks) => {
    expect(eventsOf({ ...row, regressions: [regression(at)] }).map(({ name }) => name)).toEqual(
      weeks,
    );
  });

  it("leads to the cause where that has a page", () => {
    const cause = { node: "a/b", owner: "", text: "" };
    expect(causeAddress({ ...cause, kind: "data", ref: "INC-1" })).toBe("/incidents/INC-1");
    expect(causeAddress({ ...cause, kind: "schema", ref: "a/b@1" })).toBe("/sources/a%2Fb");
    expect(causeAddress({ ...cause, kind: "code", ref: "3" })).toBeNull();
    expect(causeAddress({ ...cause, kind: "unknown", ref: null })).toBeNull();
  });

  it("names a group that it doesn't know by its value", () => {
    expect([groupName("trigger"), groupName("new")]).toEqual(["Trigger awaited", "new"]);
  });
});
