import { screen } from "@testing-library/react";
import { beforeEach, expect, it } from "vitest";
import { queries } from "../../api/responses";
import { renderAt } from "../../testing/render";
import { serverOfTests } from "../../testing/server";
import { OtherIncidents } from "./OtherIncidents";

const server = serverOfTests();
beforeEach(() => queries.clear());
const incident = (id: string, node: string, assets: readonly string[]) => ({
  id,
  cause: { node, summary: `of ${node}` },
  affected: { assets, consumers: [], partitions: [] },
});

it("leads to each cause of a node, not only to the first", async () => {
  // Would catch: an asset that waits for a source, whose own failing code no page of it leads to.
  server().answer("/api/v1/incidents", {
    body: [
      incident("INC-1", "orders", ["revenue"]),
      incident("INC-2", "revenue", []),
      incident("INC-3", "rates", ["fx"]),
      incident("INC-4", "rates", ["fx", "revenue"]),
    ],
  });
  renderAt("/", <OtherIncidents name="revenue" shown="INC-1" />);
  await screen.findByText("Other open incidents");
  expect(screen.getAllByRole("link").map((link) => link.textContent)).toEqual(["INC-2", "INC-4"]);
});
