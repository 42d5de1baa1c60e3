import { screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { useState } from "react";
import { beforeEach, expect, test, vi } from "vitest";
import { queries } from "../api/responses";
import { addressServer, serverOfTests } from "../testing/server";
import { renderAt } from "../testing/render";
import { ActButtons, useRefusedActs } from "./ActButtons";

addressServer();
const server = serverOfTests();
beforeEach(() => queries.clear());

const REASON = "needs the role operator; ask user:ana";
const refused = (act: string, reason = REASON) => ({ act, reason, somewhere: false });

// Would catch: an act that only the server refuses, or a reason that a screen reader doesn't have.
test("a refused act is disabled, with the role that it needs and whom to ask", async () => {
  const begin = vi.fn();
  const acts = [
    { label: "Run…", command: "run", begin },
    { label: "Pause…", command: "pause", begin },
    { label: "Backfill…", command: "backfill", to: "/backfills/new" },
    { label: "Decide…", command: "quarantine accept", begin },
  ];
  const rows = [refused("run"), refused("pause"), refused("backfill", "a rule forbids it")];
  renderAt("/", <ActButtons acts={acts} refused={rows} />);
  const run = screen.getByRole("button", { name: "Run…" });
  expect(run).toBeDisabled();
  expect(run).toHaveAccessibleDescription(`Run, Pause: ${REASON}.`);
  expect(screen.getByText("Backfill: a rule forbids it.")).toBeInTheDocument();
  expect(screen.queryByRole("link")).toBeNull();
  await userEvent.click(run);
  expect(begin).not.toHaveBeenCalled();
  await userEvent.click(screen.getByRole("button", { name: "Decide…" }));
  expect(begin).toHaveBeenCalledOnce();
});

// Would catch: texts and disabled buttons in a project without roles.
test("without roles each act is offered, and nothing is said about it", () => {
  const acts = [
    { label: "Run…", command: "run", begin: vi.fn() },
    { label: "Backfill…", command: "backfill", to: "/backfills/new" },
  ];
  const { container } = renderAt("/", <ActButtons acts={acts} refused={[]} />);
  expect(screen.getByRole("button", { name: "Run…" })).toBeEnabled();
  expect(screen.getByRole("link", { name: "Backfill…" })).toHaveAttribute("href", "/backfills/new");
  expect(container.querySelector(".refused")).toBeNull();
});

// Would catch: a focus that is lost with the button "Mute…", which "Unmute…" takes the place of.
test("an act that takes another's place keeps its focus", async () => {
  function Acts() {
    const [muted, setMuted] = useState(false);
    const label = muted ? "Unmute…" : "Mute…";
    const begin = () => setMuted(!muted);
    return <ActButtons acts={[{ key: "mute", label, command: "mute", begin }]} refused={[]} />;
  }
  renderAt("/", <Acts />);
  await userEvent.click(screen.getByRole("button", { name: "Mute…" }));
  expect(screen.getByRole("button", { name: "Unmute…" })).toHaveFocus();
});

// Would catch: a request for each button.
test("buttons ask once what the roles refuse", async () => {
  server().answer("/api/v1/session", { body: { refused_acts: [refused("fix")] } });
  function Acts() {
    const acts = [{ label: "Repair…", command: "fix", begin: vi.fn() }];
    return <ActButtons acts={acts} refused={useRefusedActs()} />;
  }
  renderAt(
    "/",
    <>
      <Acts />
      <Acts />
      <Acts />
    </>,
  );
  expect(await screen.findAllByText(`Repair: ${REASON}.`)).toHaveLength(3);
  expect(server().received).toHaveLength(1);
});
