import { fireEvent, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { describe, expect, it, vi } from "vitest";
import { renderAt } from "../testing/render";
import { serverOfTests } from "../testing/server";
import { Command } from "./Command";
import { Confirm } from "./Confirm";
import { Dialog } from "./Dialog";

const server = serverOfTests();

describe("a dialog", () => {
  const show = () => {
    const close = vi.fn();
    renderAt(
      "/",
      <Dialog title="Retry" close={close}>
        <input aria-label="Why" />
      </Dialog>,
    );
    return { close, dialog: screen.getByRole("dialog"), field: screen.getByRole("textbox") };
  };

  it("closes by a press on what is behind it", () => {
    const { close, dialog } = show();
    fireEvent.pointerDown(dialog);
    fireEvent.pointerUp(dialog);
    expect(close).toHaveBeenCalledOnce();
  });

  it("stays open where a selection of text ends behind it", () => {
    // Would catch: a reason that is lost because it was selected with the mouse.
    const { close, dialog, field } = show();
    fireEvent.pointerDown(field);
    fireEvent.pointerUp(dialog);
    fireEvent.click(dialog);
    expect(close).not.toHaveBeenCalled();
  });
});

describe("an act that waits for others", () => {
  it("says so in place of the question, and tells its page that it was refused", async () => {
    // Would catch: a button that asks a second time for what is already asked for.
    server().answer("/api/v1/apply", {
      status: 409,
      body: { code: "needs_approval", detail: "needs an approval", title: "refused" },
    });
    const refused = vi.fn();
    renderAt(
      "/",
      <Confirm
        title="Apply p-1"
        verb="Apply this"
        path="/api/v1/apply"
        effect={<p>One step.</p>}
        done={() => null}
        waits={(problem) => problem?.code === "needs_approval" && <p>It waits.</p>}
        refused={refused}
        close={() => undefined}
      />,
    );
    await userEvent.click(screen.getByRole("button", { name: "Apply this" }));
    expect(await screen.findByText("It waits.")).toBeVisible();
    expect(screen.queryByRole("button", { name: "Apply this" })).toBeNull();
    expect(refused).toHaveBeenCalledOnce();
  });

  it("names what came of it, and finishes in another way than it is left", async () => {
    server().answer("/api/v1/apply", { body: { version: 3 } });
    const [close, finish] = [vi.fn(), vi.fn()];
    renderAt(
      "/",
      <Confirm<{ version: number }>
        title="Apply p-1"
        verb="Apply this"
        path="/api/v1/apply"
        effect={<p>One step.</p>}
        done={() => null}
        doneTitle={({ version }) => `Applied as version ${version}`}
        close={close}
        finish={finish}
      />,
    );
    await userEvent.click(screen.getByRole("button", { name: "Apply this" }));
    expect(await screen.findByRole("dialog", { name: "Applied as version 3" })).toBeVisible();
    await userEvent.click(screen.getByText("Close"));
    expect([close.mock.calls.length, finish.mock.calls.length]).toEqual([0, 1]);
  });
});

describe("an act that is confirmed", () => {
  const PAUSE = "/api/v1/pause";
  const show = (reasoned = true) =>
    renderAt(
      "/",
      <Confirm
        title="Pause orders"
        verb="Pause it"
        path={PAUSE}
        body={{ select: ["orders"] }}
        reasoned={reasoned}
        effect={<p>Nothing runs.</p>}
        done={() => <p>It is paused.</p>}
        close={() => undefined}
      />,
    );
  const button = () => screen.getByRole("button", { name: "Pause it" });

  it("needs a reason where one is required; spaces are none", async () => {
    // Would catch: an audit trail without reasons.
    show();
    expect(button()).toBeDisabled();
    await userEvent.type(screen.getByRole("textbox"), "   ");
    expect(button()).toBeDisabled();
  });

  it("is sent with its trimmed reason, and says what came of it", async () => {
    server().answer(PAUSE, { body: { paused: [] } });
    show();
    await userEvent.type(screen.getByRole("textbox"), " vendor is late ");
    await userEvent.click(button());
    expect(await screen.findByText("It is paused.")).toBeVisible();
    const body: unknown = JSON.parse(server().received[0]?.body ?? "");
    expect(body).toEqual({ select: ["orders"], reason: "vendor is late" });
  });

  it("that is refused says why, and keeps the reason", async () => {
    // Would catch: a person types the reason a second time, or believes that it was done.
    server().answer(PAUSE, { status: 409, body: { detail: "It is paused already." } });
    show();
    await userEvent.type(screen.getByRole("textbox"), "vendor");
    await userEvent.click(button());
    expect(await screen.findByRole("alert")).toHaveTextContent("It is paused already.");
    expect(screen.getByRole("textbox")).toHaveValue("vendor");
    expect(button()).toBeEnabled();
  });
});

describe("a command", () => {
  const clipboard = (writeText: (() => Promise<void>) | null) => {
    if (writeText)
      Object.defineProperty(navigator, "clipboard", { value: { writeText }, configurable: true });
    else Reflect.deleteProperty(navigator, "clipboard");
  };

  it("offers no copy on a page without a clipboard", () => {
    // Would catch: a button that does nothing, on a page of plain HTTP.
    clipboard(null);
    renderAt("/", <Command text="headrace plan" />);
    expect(screen.getByText("headrace plan")).toBeVisible();
    expect(screen.queryByRole("button")).toBeNull();
  });

  it.each([
    ["Copied", () => Promise.resolve()],
    ["Not copied", () => Promise.reject(new Error("denied"))],
  ])("says “%s”", async (text, writeText) => {
    // Would catch: "Copied" although the browser refused.
    clipboard(writeText);
    renderAt("/", <Command text="headrace plan" />);
    fireEvent.click(screen.getByRole("button"));
    expect(await screen.findByText(text)).toBeVisible();
    clipboard(null);
  });
});
