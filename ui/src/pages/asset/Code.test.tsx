import { screen, within } from "@testing-library/react";
import { expect, it } from "vitest";
import { renderAt } from "../../testing/render";
import { serverOfTests } from "../../testing/server";
import { Code } from "./Code";

const server = serverOfTests();

it("says who applied the only version, and with which plan", async () => {
  // Would catch: a first version of which nobody learns who put it into force.
  const version = { version: 1, at: "2025-03-01T06:00:00Z", by: "ana", plan_id: "p-123" };
  server().answer("/api/v1/status", { body: { now: "2025-03-05T09:00:00Z", timezone: "UTC" } });
  server().answer("/api/v1/assets/orders/code", {
    body: {
      ...{ node: "orders", file: "sources/orders.yaml", line: 1, language: "yaml", version: 1 },
      ...{ text: null, versions: [version], difference: null, hidden: false },
    },
  });
  renderAt("/", <Code name="orders" asset={false} />);
  const versions = await screen.findByRole("region", { name: "Versions" });
  expect(within(versions).getByText("ana")).toBeInTheDocument();
  expect(within(versions).getByText("p-123")).toBeInTheDocument();
});
