// The graph as a picture that stands alone: one SVG without scripts, fonts or addresses of anything else.
import type { Schema } from "../../api/client";
import { labelOf, toneOf } from "../../parts/State";
import { detailOf, isGroup, nameOf, stateOf, type Card } from "./card";
import { CARD, type Positions } from "./layout";

export type Colours = Record<"ground" | "surface" | "line" | "text" | "muted", string> & {
  tones: Record<string, string>;
};
const MARGIN = 24;
const NAME_MAX = 26;
const DETAIL_MAX = 34;

export function pictureOf(
  view: Schema["GraphView"],
  positions: Positions,
  colours: Colours,
): { svg: string; width: number; height: number } {
  const places = [...positions.values()];
  const left = Math.min(...places.map((place) => place.x)) - MARGIN;
  const top = Math.min(...places.map((place) => place.y)) - MARGIN;
  const width = Math.max(...places.map((place) => place.x)) + CARD.width + MARGIN - left;
  const height = Math.max(...places.map((place) => place.y)) + CARD.height + MARGIN - top;
  const lines = view.edges.map((edge) => lineOf(edge, positions, colours));
  const cards = view.cards.map((card) => cardOf(card, positions, colours));
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="${left} ${top} ${width} ${height}" width="${width}" height="${height}" font-family="system-ui, sans-serif">
<title>${escaped(view.at ? asItStood(view.at) : `Graph as of ${view.now}`)}</title>
<rect x="${left}" y="${top}" width="${width}" height="${height}" fill="${colours.ground}"/>
${view.at ? `<text x="${left + 4}" y="${top + 15}" font-size="12" font-weight="600" fill="${colours.text}">${escaped(asItStood(view.at))}</text>` : ""}
${[...lines, ...cards].join("\n")}
</svg>
`;
  return { svg, width, height };
}

const asItStood = (at: string) => `As it stood at ${at}`;

function lineOf(edge: Schema["EdgeView"], positions: Positions, colours: Colours): string {
  const from = positions.get(edge.from);
  const to = positions.get(edge.to);
  if (!from || !to) return "";
  const [x1, y1] = [from.x + CARD.width, from.y + CARD.height / 2];
  const [x2, y2] = [to.x, to.y + CARD.height / 2];
  const middle = (x1 + x2) / 2;
  return `<path d="M${x1} ${y1}C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}" fill="none" stroke="${colours.line}"/>`;
}

function cardOf(card: Card, positions: Positions, colours: Colours): string {
  const place = positions.get(card.id);
  if (!place) return "";
  const { x, y } = place;
  const state = labelOf(stateOf(card));
  const detail = isGroup(card)
    ? detailOf(card)
    : [state, detailOf(card)].filter(Boolean).join(" · ");
  return `<g><title>${escaped(`${nameOf(card)}, ${state}`)}</title>
<rect x="${x}" y="${y}" width="${CARD.width}" height="${CARD.height}" rx="6" fill="${colours.surface}" stroke="${colours.line}"/>
<rect x="${x}" y="${y}" width="4" height="${CARD.height}" fill="${colours.tones[toneOf(stateOf(card))] ?? colours.line}"/>
<text x="${x + 14}" y="${y + 24}" font-size="14" font-weight="600" fill="${colours.text}">${escaped(short(nameOf(card), NAME_MAX))}</text>
<text x="${x + 14}" y="${y + 42}" font-size="12" fill="${colours.muted}">${escaped(short(detail, DETAIL_MAX))}</text></g>`;
}

const short = (text: string, length: number): string =>
  text.length > length ? `${text.slice(0, length - 1)}…` : text;

/** Text of an SVG: names and data are hostile, and some characters can't stand in XML at all. */
export function escaped(text: string): string {
  return text
    .replace(/[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu, "\uFFFD")
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
