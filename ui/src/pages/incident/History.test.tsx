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
  // Would catch: an incident of memory with a chart of durations alone.
  const run = (partition: string, peak_memory_bytes: number | null) => ({
    ...{ attempt: `1.${partition}`, partition, seconds: 2, peak_memory_bytes },
  });
  server().answer("/api/v1/runs", { body: [run("3", 900e6), run("2", null), run("1", 200e6)] });
  const row = {
    cause: { node: "eats", kind: "resource_exhausted", partition: "3" },
    affected: { partitions: [] },
  } as unknown as Schema["IncidentRow"];
  renderAt("/", <History row={row} />);
  expect(
    await screen.findByRole("img", { name: /^Memory that eats used.*900 MB.*marked: 3/ }),
  ).toBeVisible();
  expect(screen.getByRole("heading", { name: "Earlier durations" })).toBeVisible();
});
