import { screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, it } from "vitest";
import { queries } from "../../api/responses";
import { renderAt } from "../../testing/render";
import { serverOfTests } from "../../testing/server";
import { Code } from "./Code";

const server = serverOfTests();
beforeEach(() => queries.clear());

const SQL = {
  ...{ node: "late", file: "assets/late.sql", line: 1, language: "sql", version: 1 },
  ...{ text: "select $partition_start", versions: [], difference: null, hidden: false },
};
const RENDER = {
  ...{ asset: "late", partition: "2025-02-10", body: "sql", text: "select $partition_start" },
  ...{ parameters: { partition_start: "2025-02-10" }, inputs: [], columns: null },
  ...{ file: "assets/late.sql", line: 1 },
};

it("shows the query of a SQL asset with its values", async () => {
  // Would catch: a reader who sees only the text of the file and puts the values in by hand.
  server().answer("/api/v1/assets/late/code", { body: SQL });
  server().answer("/api/v1/render/late", { body: RENDER });
  renderAt("/?part=code", <Code name="late" asset />);
  await userEvent.click(await screen.findByRole("button", { name: "Rendered" }));
  const query = await screen.findByRole("group", { name: "Rendered SQL" });
  expect(query).toHaveTextContent("select '2025-02-10'");
  expect(screen.queryByRole("group", { name: "Code" })).toBeNull();
  expect(screen.getByLabelText("Address")).toHaveTextContent("/?part=code&text=rendered");
});

it("says once why a query can't be rendered", async () => {
  // Would catch: an empty panel for files with errors, or a role's refusal that is said twice.
  server().answer("/api/v1/assets/late/code", { body: SQL });
  const body = { status: 409, detail: "The files have errors.", hint: "headrace validate" };
  server().answer("/api/v1/render/late", { status: 409, body });
  renderAt("/?part=code&text=rendered", <Code name="late" asset />);
  expect(await screen.findAllByText("The files have errors.")).toHaveLength(1);
});

it("offers no rendered text of anything but SQL", async () => {
  // Would catch: a switch to the SQL of a Python function.
  const body = { ...SQL, language: "python", text: "def late(): ..." };
  server().answer("/api/v1/assets/late/code", { body });
  server().answer("/api/v1/render/late", { body: RENDER });
  renderAt("/?part=code&text=rendered", <Code name="late" asset />);
  expect(await screen.findByRole("group", { name: "Code" })).toBeInTheDocument();
  expect(screen.queryByRole("button", { name: "Rendered" })).toBeNull();
});

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
