import { screen } from "@testing-library/react";
import { expect, it } from "vitest";
import type { Schema } from "../../api/client";
import { renderAt } from "../../testing/render";
import { serverOfTests } from "../../testing/server";
import { ScoresByWeek } from "./ScoresByWeek";

const server = serverOfTests();
const pointOf = (date: string, score: number | null) => ({
  date,
  stability: score,
  quality: score && score / 2,
});

function showScores(points: readonly ReturnType<typeof pointOf>[]) {
  server().answer("/api/v1/sources/orders/scores", {
    body: {
      now: "2025-03-20T08:00:00Z",
      source: "orders",
      window: "90d",
      timezone: "Europe/Berlin",
      deliveries_min: 10,
      points,
    },
  });
  const row = { source: "orders", stability: "0.912", quality: "0.456" };
  return renderAt("/", <ScoresByWeek row={row as Schema["SourceScoreRow"]} />);
}

it("draws each score from the first that there is, with what it is of", async () => {
  // Would catch: weeks before the first score as zeros, and both scores in one line.
  showScores([
    pointOf("2025-02-27", null),
    pointOf("2025-03-06", 0.5),
    pointOf("2025-03-13", null),
    pointOf("2025-03-20", 0.912),
  ]);
  const stability = await screen.findByRole("img", { name: /^Stability of orders by week/ });
  expect(stability.getAttribute("aria-label")).toBe(
    "Stability of orders by week: 3 points, at most 0.912",
  );
  expect(screen.getByRole("img", { name: /^Quality of orders.*at most 0.456$/ })).toBeVisible();
  expect(screen.getAllByText("90 days up to each day, Europe/Berlin")).toHaveLength(2);
  expect(screen.getAllByRole("cell", { name: "no score" })).toHaveLength(2);
});

it.each([[[]], [[pointOf("2025-03-20", null)]]])(
  "says what a score needs where there is none: %j",
  async (points) => {
    showScores(points);
    expect(await screen.findByText(/a score needs 10 deliveries within 90 days/)).toBeVisible();
    expect(screen.queryByRole("img")).toBeNull();
  },
);
