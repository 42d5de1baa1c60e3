// A query with the values of its parameters in place of their names, for reading.

type Values = Readonly<Record<string, unknown>>;

/** Texts, quoted names and comments, in which `$name` is no parameter; else a parameter. */
const PARAMETER =
  /'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|\/\*[\s\S]*?\*\/|\$(\w*)\$[\s\S]*?\$\1\$|\$(?<name>[a-z_]\w*)/gi;

export function renderedSql(text: string, parameters: Values): string {
  const values = new Map(
    Object.entries(parameters).map(([name, value]) => [name.toLowerCase(), literalOf(value)]),
  );
  return text.replace(PARAMETER, (found: string, ...rest: unknown[]) => {
    const { name } = rest.at(-1) as { name?: string };
    return (name && values.get(name.toLowerCase())) ?? found;
  });
}

function literalOf(value: unknown): string {
  if (value === null) return "NULL";
  if (typeof value === "string") return `'${value.replaceAll("'", "''")}'`;
  if (Array.isArray(value)) return `[${value.map(literalOf).join(", ")}]`;
  return JSON.stringify(value);
}
