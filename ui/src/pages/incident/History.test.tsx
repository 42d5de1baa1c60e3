import { screen } from "@testing-library/react";
import { beforeEach, expect, it } from "vitest";
import type { Schema } from "../../api/client";
import { queries } from "../../api/responses";
import { renderAt } from "../../testing/render";
import { serverOfTests } from "../../testing/server";
import { History } from "./History";

const server = serverOfTests();
beforeEach(() => queries.clear());

it("shows how much memory earlier attempts used where it ran out", async () => {
  // Would catch: an incident of memory with a chart of durations alone; attempts of a run from its
  // last to its first; an attempt that wasn't measured as one that used nothing.
  const run = (partition: string, hour: number, peak_memory_bytes: number | null) => ({
    ...{ attempt: `1.${hour}`, partition, seconds: hour, peak_memory_bytes },
    at: `2025-03-01T0${hour}:00:00Z`,
  });
  server().answer("/api/v1/runs", {
    body: [run("3", 4, 900e6), run("1", 1, 200e6), run("3", 2, null), run("2", 3, 300e6)],
  });
  const row = {
    cause: { node: "eats", kind: "resource_exhausted", partition: "3" },
    affected: { partitions: [] },
  } as unknown as Schema["IncidentRow"];
  renderAt("/", <History row={row} />);
  expect(
    await screen.findByRole("img", { name: /^Memory that eats used: 3 points, at most 900 MB/ }),
  ).toBeVisible();
  const names = [...document.querySelectorAll("table")].map((table) =>
    [...table.querySelectorAll("tbody tr")].map((row) => row.firstElementChild?.textContent),
  );
  expect(names).toEqual([
    ["3 (1.4)", "2 (1.3)", "1 (1.1)"],
    ["3 (1.4)", "2 (1.3)", "3 (1.2)", "1 (1.1)"],
  ]);
  expect(screen.getByRole("heading", { name: "Earlier durations" })).toBeVisible();
});
