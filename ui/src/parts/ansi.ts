// Colours of terminals in logged lines. Only colours and weights are read: every other sequence of
// control characters stays text.

export type AnsiStyle = {
  color?: AnsiColor;
  ground?: AnsiColor;
  bold?: true;
  faint?: true;
  italic?: true;
  underline?: true;
};
export type AnsiColor =
  "black" | "red" | "green" | "yellow" | "blue" | "magenta" | "cyan" | "white";
export type AnsiPart = { text: string; style: AnsiStyle };

/** SGR: `ESC [ 1;31 m`. The server writes the control character of a log as `\x1b`. */
// eslint-disable-next-line no-control-regex -- it is what is looked for
const SGR = /(?:\u001B|\\x1b)\[([\d;:]{0,60})m/g;
const COLORS: readonly AnsiColor[] = [
  "black",
  "red",
  "green",
  "yellow",
  "blue",
  "magenta",
  "cyan",
  "white",
];

/** A line's text in parts of one style; joined, they are the line without its sequences. */
export function ansiParts(text: string): AnsiPart[] {
  const parts: AnsiPart[] = [];
  let style: AnsiStyle = {};
  let from = 0;
  for (const match of text.matchAll(SGR)) {
    if (match.index > from) parts.push({ text: text.slice(from, match.index), style });
    style = changedBy(style, match[1] ?? "");
    from = match.index + match[0].length;
  }
  if (from < text.length) parts.push({ text: text.slice(from), style });
  return parts;
}

/** The text without colours, as it is searched. */
export const withoutColors = (text: string): string => text.replace(SGR, "");

function changedBy(style: AnsiStyle, parameters: string): AnsiStyle {
  const codes = parameters.split(/[;:]/).map(Number);
  let next = style;
  for (let index = 0; index < codes.length; index += 1) {
    const code = codes[index] ?? 0;
    if (code === 38 || code === 48) {
      const [color, used] = extended(codes.slice(index + 1));
      next = without(next, code === 38 ? "color" : "ground");
      if (color) next = { ...next, [code === 38 ? "color" : "ground"]: color };
      index += used;
    } else next = applied(next, code);
  }
  return next;
}

function applied(style: AnsiStyle, code: number): AnsiStyle {
  const color = COLORS[code % 10];
  if (code === 0) return {};
  if (code === 1) return { ...style, bold: true };
  if (code === 2) return { ...style, faint: true };
  if (code === 3) return { ...style, italic: true };
  if (code === 4) return { ...style, underline: true };
  if (code === 22) return without(style, "bold", "faint");
  if (code === 23) return without(style, "italic");
  if (code === 24) return without(style, "underline");
  if (code === 39) return without(style, "color");
  if (code === 49) return without(style, "ground");
  if (color && [3, 9].includes(Math.floor(code / 10))) return { ...style, color };
  if (color && [4, 10].includes(Math.floor(code / 10))) return { ...style, ground: color };
  return style;
}

function without(style: AnsiStyle, ...names: (keyof AnsiStyle)[]): AnsiStyle {
  return Object.fromEntries(
    Object.entries(style).filter(([name]) => !names.includes(name as keyof AnsiStyle)),
  );
}

/** The colour of `5;N` or `2;R;G;B`, the nearest of the eight, and how many numbers it took. */
function extended(codes: readonly number[]): [AnsiColor | undefined, number] {
  if (codes[0] === 5) return [indexed(codes[1] ?? 0), 2];
  if (codes[0] === 2) return [nearest(codes.slice(1, 4), 255), 4];
  return [undefined, codes.length];
}

function indexed(code: number): AnsiColor | undefined {
  if (code < 16) return COLORS[code % 8];
  if (code >= 232) return code < 244 ? "black" : "white";
  const cube = code - 16;
  return nearest([Math.floor(cube / 36), Math.floor(cube / 6) % 6, cube % 6], 5);
}

/** Each of red, green and blue is on or off, beside the strongest of them. */
function nearest(rgb: readonly number[], most: number): AnsiColor | undefined {
  const strongest = Math.max(...rgb, 0);
  if (strongest < most / 5) return "black";
  const bits = rgb.reduce(
    (sum, part, place) => sum + (part * 3 >= strongest * 2 ? 1 << place : 0),
    0,
  );
  return COLORS[bits];
}

export type MarkedPart = AnsiPart & { marked: boolean };

/** The parts of a line, cut where `mark` is in its text, also where its colour changes within that. */
export function markedParts(parts: readonly AnsiPart[], mark: string): MarkedPart[] {
  if (!mark) return parts.map((part) => ({ ...part, marked: false }));
  const line = parts.map((part) => part.text).join("");
  const results: MarkedPart[] = [];
  let [at, from] = [0, line.indexOf(mark)];
  for (const { text, style } of parts) {
    const end = at + text.length;
    while (at < end) {
      if (from >= 0 && at >= from + mark.length) from = line.indexOf(mark, at);
      const marked = from >= 0 && at >= from;
      const until = from < 0 ? end : Math.min(end, marked ? from + mark.length : from);
      results.push({ text: line.slice(at, until), style, marked });
      at = until;
    }
  }
  return results;
}
