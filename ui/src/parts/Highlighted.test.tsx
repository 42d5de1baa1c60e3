import { render } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import Highlighted from "./Highlighted";

const shown = (text: string, language: string) =>
  render(<Highlighted text={text} language={language} />).container;

describe("Highlighted", () => {
  it("keeps every character of the text, whatever the language", () => {
    const text = "/* headrace\nowner: core\n*/\nselect '<b>&amp;' as a -- x\n\tfrom t\n";
    for (const language of ["sql", "python", "yaml", "toml", "text", "constructor"])
      expect(shown(text, language).textContent).toBe(text);
  });

  it("colours the declaration of a SQL file as YAML, and its query as SQL", () => {
    const container = shown("/* headrace\nowner: core\n*/\nselect 1\n", "sql");
    expect(container.querySelector(".hljs-attr")?.textContent).toBe("owner:");
    expect(container.querySelector(".hljs-keyword")?.textContent).toBe("select");
  });

  it("makes no markup of the text, and shows characters that nobody sees", () => {
    const container = shown("select '<img src=x onerror=alert(1)>' as a\u202e -- b", "sql");
    expect(container.querySelector("img")).toBeNull();
    expect(container.textContent).toContain("\\u202e");
  });
});
