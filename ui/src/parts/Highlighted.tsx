// Code with the colours of its language. The text stays text: nothing of it becomes markup.
import { createLowlight } from "lowlight";
import ini from "highlight.js/lib/languages/ini";
import python from "highlight.js/lib/languages/python";
import sql from "highlight.js/lib/languages/sql";
import yaml from "highlight.js/lib/languages/yaml";
import { useMemo } from "react";
import { visibleLines } from "./visible";
import "./highlighted.css";

const LOWLIGHT = createLowlight({ ini, python, sql, yaml });
LOWLIGHT.registerAlias({ ini: "toml" });
/** Longer texts are shown without colours: they would take a second. */
const COLOURED_MAX = 200_000;

/** What a SQL file declares at its beginning, in YAML. */
const HEADER = /^(\s*\/\*\s*headrace\s*\n)([\s\S]*?)(\*\/)/;

type Tree = ReturnType<typeof LOWLIGHT.highlight>;
type Node = Tree["children"][number];

export default function Highlighted({ text, language }: { text: string; language: string }) {
  const trees = useMemo(() => treesOf(visibleLines(text), language), [text, language]);
  return <code>{trees?.flatMap(({ children }) => children).map(shown) ?? visibleLines(text)}</code>;
}

/** Nothing for a language that isn't known, and for a text that is too long. */
function treesOf(text: string, language: string): readonly Tree[] | null {
  if (!LOWLIGHT.registered(language) || text.length > COLOURED_MAX) return null;
  const header = language === "sql" ? HEADER.exec(text) : null;
  if (!header) return [LOWLIGHT.highlight(language, text)];
  const [whole, begin = "", declared = "", end = ""] = header;
  return [
    LOWLIGHT.highlight("sql", begin),
    LOWLIGHT.highlight("yaml", declared),
    // an end without its beginning is no comment of SQL
    { type: "root", children: [{ type: "text", value: end }] },
    LOWLIGHT.highlight("sql", text.slice(whole.length)),
  ];
}

function shown(node: Node, index: number): React.ReactNode {
  if (node.type === "text") return node.value;
  if (node.type !== "element") return null;
  const names = node.properties.className;
  return (
    <span key={index} className={Array.isArray(names) ? names.join(" ") : undefined}>
      {node.children.map(shown)}
    </span>
  );
}
