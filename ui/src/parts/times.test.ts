import { describe, expect, it, vi } from "vitest";
import { clockText, instantText, secondOf, viewerText } from "./times";

const NEW_YORK = "America/New_York";
const NOW = "2025-03-03T12:20:00Z";

describe("a point in time", () => {
  it.each([
    ["2025-03-03T17:20:00Z", "Mon 12:20"],
    ["2025-03-02T17:20:00Z", "Sun 03-02 12:20"],
    ["2024-12-31T17:20:00Z", "Tue 2024-12-31 12:20"],
  ])("%s is written %s, as far as it is from now", (at, text) => {
    // Would catch: a date that is left out although the day is another one.
    expect(instantText(new Date(at), NEW_YORK, NOW)).toBe(text);
  });

  it("is of the project's day, not of the UTC day or the viewer's", () => {
    // Would catch: 23:30 on Sunday evening shown as "today" on Monday.
    expect(instantText(new Date("2025-03-03T04:30:00Z"), NEW_YORK, NOW)).toBe("Sun 03-02 23:30");
  });

  it("at midnight is 00:00", () => {
    // Would catch: "24:00", which browsers write for hour12: false.
    expect(instantText(new Date("2025-03-03T05:00:00Z"), NEW_YORK, NOW)).toBe("Mon 00:00");
  });

  it("follows the change to summer time", () => {
    // Would catch: an offset that is added by hand.
    expect(instantText(new Date("2025-03-09T06:59:00Z"), NEW_YORK)).toBe("Sun 2025-03-09 01:59");
    expect(instantText(new Date("2025-03-09T07:00:00Z"), NEW_YORK)).toBe("Sun 2025-03-09 03:00");
  });

  it("of a replay, whose now is unknown yet, has its year", () => {
    // Would catch: an incident of 2012 that looks like one of today.
    expect(instantText(new Date("2012-12-31T12:20:00Z"), "UTC")).toBe("Mon 2012-12-31 12:20");
  });
});

describe("a time of day below a date", () => {
  it.each([
    ["2025-03-03T05:00:00Z", "00:00"],
    ["2025-03-03T04:30:00Z", "Sun 03-02 23:30"],
    ["2025-01-01T04:30:00Z", "Tue 2024-12-31 23:30"],
  ])("%s is %s", (at, text) => {
    // Would catch: 23:30 of the evening before that stands below a date as if it were of it.
    expect(clockText(at, NEW_YORK, at.slice(0, 10))).toBe(text);
  });
});

describe("the viewer's clock", () => {
  it("is named where it differs from the project's", () => {
    expect(viewerText(new Date("2025-03-04T07:00:00Z"), "UTC")).toBe("Tue 16:00 GMT+9 here");
  });

  it("isn't mentioned in the project's own zone", () => {
    // Would catch: the same time twice on every page.
    expect(viewerText(new Date("2025-03-04T07:00:00Z"), "Asia/Tokyo")).toBe("");
  });
});

it("writes the second of a log line in the project's zone, in UTC while that is unknown", () => {
  expect(secondOf("2025-03-03T05:00:05Z", NEW_YORK)).toBe("00:00:05");
  expect(secondOf("2025-03-03T05:00:05Z", undefined)).toBe("05:00:05");
});

it("makes no format anew for each time of a table", () => {
  // Would catch: a table that scrolls slowly because each row spends most of its time on that.
  instantText(new Date(NOW), NEW_YORK, NOW);
  viewerText(new Date(NOW), NEW_YORK);
  const made = vi.spyOn(Intl, "DateTimeFormat");
  for (let hour = 10; hour < 20; hour += 1) {
    const at = new Date(`2025-03-02T${hour}:00:00Z`);
    instantText(at, NEW_YORK, NOW);
    viewerText(at, NEW_YORK);
  }
  expect(made).not.toHaveBeenCalled();
  made.mockRestore();
});
