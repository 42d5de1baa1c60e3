import type { UseQueryResult } from "@tanstack/react-query";
import { screen } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import { Problem } from "../api/client";
import { useResponse } from "../api/responses";
import { renderAt } from "../testing/render";
import { serverOfTests } from "../testing/server";
import { Heading, Loaded, Panel, Refusal } from "./Page";

const server = serverOfTests();
const INCIDENTS = "/api/v1/incidents";

function Incidents() {
  const response = useResponse(INCIDENTS, {});
  return (
    <>
      <button type="button" onClick={() => void response.refetch()}>
        Refetch
      </button>
      <Loaded document={response} heading="Incidents">
        {(rows) => <p>{rows.length} incidents</p>}
      </Loaded>
    </>
  );
}

describe("a page's response", () => {
  it("is announced while it is on its way, then shown", async () => {
    // Would catch: a zero in place of "not known yet".
    server().answer(INCIDENTS, { body: [] });
    renderAt("/", <Incidents />);
    expect(screen.getByText("Loading…")).toHaveRole("status");
    expect(screen.queryByText(/incidents$/)).toBeNull();
    expect(await screen.findByText("0 incidents")).toBeVisible();
  });

  it("that is refused shows why and what to do", async () => {
    // Would catch: a page that loads for ever.
    server().answer(INCIDENTS, {
      status: 403,
      body: { detail: "Not allowed.", hint: "Ask\n  an admin." },
    });
    renderAt("/", <Incidents />);
    expect(await screen.findByRole("alert")).toHaveTextContent("Not allowed. Ask an admin.");
    expect(screen.getByRole("heading", { level: 1 })).toHaveTextContent("Incidents");
    expect(screen.queryByText("Loading…")).toBeNull();
  });

  it("of a package that isn't installed says so, and is no error", async () => {
    // Would catch: an alarm about advice that nobody wanted.
    server().answer(INCIDENTS, {
      status: 404,
      body: {
        detail: "`headrace bottleneck` is in another package",
        hint: "pip install headrace-advisor",
        code: "not_installed",
      },
    });
    renderAt("/", <Incidents />);
    expect(await screen.findByText("pip install headrace-advisor")).toBeVisible();
    expect(screen.queryByRole("alert")).toBeNull();
  });

  it("stays, marked as old, while the server is away", async () => {
    // Would catch: an empty page in the middle of an incident.
    server().answer(INCIDENTS, { body: [{}, {}] }, { status: 500, body: { detail: "Broken." } });
    renderAt("/", <Incidents />);
    await screen.findByText("2 incidents");
    screen.getByRole("button", { name: "Refetch" }).click();
    expect(await screen.findByRole("alert")).toHaveTextContent(
      "Broken. What is shown is from before.",
    );
    expect(screen.getByText("2 incidents")).toBeVisible();
  });

  it("of another page isn't shown in place of its own", () => {
    // Would catch: run 1's figures under run 2's address.
    const placeholder = { data: "of run 1", isPlaceholderData: true, error: null };
    renderAt(
      "/",
      <Loaded document={placeholder as UseQueryResult<string, Problem>}>{(text) => text}</Loaded>,
    );
    expect(screen.queryByText("of run 1")).toBeNull();
    expect(screen.getByText("Loading…")).toBeVisible();
  });
});

it("shows what was refused as text", () => {
  const { container } = renderAt(
    "/",
    <Refusal problem={new Problem(400, "<b>no</b>", "<i>hint</i>")} />,
  );
  expect(screen.getByRole("alert")).toHaveTextContent("<b>no</b> <i>hint</i>");
  expect(container.querySelector("b, i")).toBeNull();
});

it("shows a count of zero beside a title, and no empty element for nothing", () => {
  // Would catch: a bare 0 outside of its place, or an empty box.
  const { container } = renderAt(
    "/",
    <>
      <Panel title="Columns" aside={0}>
        x
      </Panel>
      <Heading title="Runs" subtitle="" />
    </>,
  );
  expect(screen.getByText("0")).toHaveClass("muted");
  expect(container.querySelector("h1 + p")).toBeNull();
});
