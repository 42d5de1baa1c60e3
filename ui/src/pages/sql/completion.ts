// What can follow at the caret of a query: keywords, tables and columns.

const KEYWORDS =
  "select from where group by order having limit join left inner full cross on using as and or not in is null like ilike between case when then else end distinct union all except intersect with over partition desc asc count sum avg min max cast coalesce date_trunc filter qualify".split(
    " ",
  );
const PLAIN = /^[a-z_][a-z0-9_]*$/i;

export type Word = {
  /** Where it begins. */
  from: number;
  text: string;
  /** The table before a dot, as typed; null without a dot. */
  of: string | null;
};
export type Offer = { text: string; detail: string };

/** The word that ends at the caret; null inside a string or a comment. */
export function wordAt(query: string, caret: number): Word | null {
  const before = query.slice(0, caret);
  const line = before.slice(before.lastIndexOf("\n") + 1);
  if (line.includes("--") || (before.split("'").length - 1) % 2 === 1) return null;
  const match = /(?:("(?:[^"]|"")+"|\w+)\.)?("?\w*)$/.exec(before);
  if (!match) return null;
  const text = match[2] ?? "";
  return { from: caret - text.length, text: text.replace(/^"/, ""), of: unquoted(match[1]) };
}

function unquoted(name: string | undefined): string | null {
  if (name === undefined) return null;
  return name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name;
}

/** The table that a name before a dot stands for: itself, or what FROM or JOIN calls by it. */
export function tableOf(query: string, name: string): string {
  for (const match of query.matchAll(
    /\b(?:from|join)\s+("(?:[^"]|"")+"|[\w]+)(?:\s+as)?\s+("(?:[^"]|"")+"|\w+)/gi,
  )) {
    const [, table, alias] = match;
    if (unquoted(alias)?.toLowerCase() === name.toLowerCase()) return unquoted(table) ?? name;
  }
  return name;
}

/** The tables that FROM and JOIN name, in their order. */
export function tablesIn(query: string): string[] {
  const names = [...query.matchAll(/\b(?:from|join)\s+("(?:[^"]|"")+"|\w+)/gi)].flatMap(
    (match) => unquoted(match[1]) ?? [],
  );
  return [...new Set(names)];
}

/** Keywords that begin like a word, in the case in which it is typed. */
export function keywordsFor(word: string): Offer[] {
  const lower = word.toLowerCase();
  if (lower.length < 2) return [];
  const upper = word === word.toUpperCase();
  return KEYWORDS.filter((keyword) => keyword.startsWith(lower) && keyword !== lower).map(
    (keyword) => ({ text: upper ? keyword.toUpperCase() : keyword, detail: "keyword" }),
  );
}

/** A name as a query has it: quoted where it needs to be. */
export function written(name: string): string {
  return PLAIN.test(name) ? name : `"${name.replaceAll('"', '""')}"`;
}

/** The query with an offer in place of the word, and where the caret is then. */
export function completed(
  query: string,
  word: Word,
  caret: number,
  text: string,
): { query: string; caret: number } {
  return {
    query: query.slice(0, word.from) + text + query.slice(caret),
    caret: word.from + text.length,
  };
}
