import { render, screen } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import { Ansi } from "./Ansi";
import { ansiParts, withoutColors } from "./ansi";
import { visibleText } from "./visible";

const ESC = "\u001B";

describe("colours of a logged line", () => {
  it("are read as the server writes them, and as a terminal gets them", () => {
    // Would catch: `\x1b[31m` printed in every line of a coloured log.
    for (const start of [ESC, String.raw`\x1b`]) {
      expect(ansiParts(`a ${start}[1;31mred${start}[0m b`)).toEqual([
        { text: "a ", style: {} },
        { text: "red", style: { bold: true, color: "red" } },
        { text: " b", style: {} },
      ]);
      expect(withoutColors(`${start}[31mer${start}[32mror`)).toBe("error");
    }
  });

  it("of 256 and of 16 million are the nearest of eight, and take their own numbers only", () => {
    // Would catch: the 5 of `38;5;196` read as a blinking text, or the 1 of a shade as bold.
    const styles = (text: string) => ansiParts(`${ESC}[${text}mx`)[0]?.style;
    expect(styles("38;5;196")).toEqual({ color: "red" });
    expect(styles("38;2;1;200;10;4")).toEqual({ color: "green", underline: true });
    expect(styles("48;5;21")).toEqual({ ground: "blue" });
    expect(styles("38;5;250")).toEqual({ color: "white" });
    expect(styles("38;9")).toEqual({});
    expect(styles("93")).toEqual({ color: "yellow" });
    expect(styles("999")).toEqual({});
    expect(styles("")).toEqual({});
  });

  it("end with their own codes", () => {
    // Would catch: a log that stays red from its first error on.
    const last = ansiParts(`${ESC}[1;2;3;4;31;42m${ESC}[22;23;24;39;49mx`).at(-1);
    expect(last).toEqual({ text: "x", style: {} });
  });

  it("leave other sequences as text that can be seen", () => {
    // Would catch: a log that clears the screen, or hides a link behind a text.
    const text = `${ESC}[2Jx${ESC}]8;;https://example.com${ESC}\\link`;
    render(<Ansi text={text} />);
    expect(
      screen.getByText(String.raw`\x1b[2Jx\x1b]8;;https://example.com\x1b\link`),
    ).toBeVisible();
  });

  it("never make markup of a line", () => {
    // Would catch: a script in a log that runs for whoever looks at it.
    const { container } = render(
      <Ansi text={`${ESC}[31m<img src=x onerror=alert(1)>${ESC}[999;<b>m`} mark="img" />,
    );
    expect(container.querySelector("img, b")).toBeNull();
    expect(container).toHaveTextContent("<img src=x onerror=alert(1)>\\x1b[999;<b>m");
    expect(container.querySelector("mark")).toHaveTextContent("img");
  });

  it("don't hide what is searched for", () => {
    // Would catch: a hit without a mark because its colour changes within it.
    const { container } = render(
      <Ansi text={`an ${ESC}[31mer${ESC}[1mror${ESC}[0m, error`} mark="error" />,
    );
    const marks = [...container.querySelectorAll("mark")].map((mark) => mark.textContent);
    expect(marks).toEqual(["er", "ror", "error"]);
    expect(container).toHaveTextContent("an error, error");
  });

  it("are found in a line of a million sequences at once", () => {
    // Would catch: a tab that hangs over one line.
    const begun = performance.now();
    ansiParts(`${ESC}[31m`.repeat(100_000) + `${ESC}[${"1;".repeat(100_000)}`);
    expect(performance.now() - begun).toBeLessThan(2_000);
  });
});

describe("characters that can't be seen", () => {
  it("are written as escapes, and text of every language stays", () => {
    // Would catch: a file name that reads the other way round.
    expect(visibleText("invoice\u202Efdp.exe\u200B\u0007\t\uFEFF")).toBe(
      String.raw`invoice\u202efdp.exe\u200b\x07` + "\t" + String.raw`\ufeff`,
    );
    expect(visibleText("Zürich مرحبا 👩‍💻 日本")).toBe("Zürich مرحبا 👩‍💻 日本");
  });
});
