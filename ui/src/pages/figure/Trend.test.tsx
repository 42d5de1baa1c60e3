import { screen } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import { renderAt } from "../../testing/render";
import { serverOfTests } from "../../testing/server";
import { Trend } from "./Trend";

const server = serverOfTests();
const ROWS = [
  { of: "empty", values: [null, null] },
  { of: "kept", values: [100, 100] },
  { of: "late", values: [null, 40] },
];
const answered = (unit: string) =>
  server().answer("/api/v1/figures/availability/trend", {
    body: {
      figure: "availability",
      by: "each",
      unit,
      meaning: "m",
      days: ["2025-03-01", "2025-03-02"],
      rows: ROWS,
    },
  });

describe("Trend", () => {
  it("begins with what was served least, and offers no row without data", async () => {
    answered("%");
    renderAt("/", <Trend figure="availability" />);
    expect(await screen.findByLabelText("Name")).toHaveValue("late");
    expect(screen.getAllByRole("option").map(({ textContent }) => textContent)).toEqual([
      "kept",
      "late",
    ]);
    expect(screen.getByRole("img")).toHaveAccessibleName("late by day: 2 points, at most 40 %");
  });

  it("begins with what took most where values are durations", async () => {
    answered("s");
    renderAt("/", <Trend figure="availability" />);
    expect(await screen.findByLabelText("Name")).toHaveValue("kept");
  });

  it("isn't there for a figure without days", () => {
    renderAt("/", <Trend figure="weakened" />);
    expect(screen.queryByText("By day")).toBeNull();
  });
});
