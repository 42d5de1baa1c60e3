import { describe, expect, it } from "vitest";
import { sideValue } from "./differenceTexts";

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
