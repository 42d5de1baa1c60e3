// A logged line with the colours of its terminal. Colours are classes of the theme, never the line's own styles.
import { ansiParts, markedParts, type AnsiStyle } from "./ansi";
import { visibleText } from "./visible";
import "./ansi.css";

/** `mark` is a text to mark where it stands in the line. */
export function Ansi({ text, mark = "" }: { text: string; mark?: string }) {
  return (
    <>
      {markedParts(ansiParts(text), mark).map((part, index) => {
        const content = visibleText(part.text);
        return (
          // eslint-disable-next-line @eslint-react/no-array-index-key -- the parts of a line have nothing but their order
          <span key={index} className={classesOf(part.style) || undefined}>
            {part.marked ? <mark>{content}</mark> : content}
          </span>
        );
      })}
    </>
  );
}

function classesOf({ color, ground, ...weights }: AnsiStyle): string {
  return [
    ground ? `ansi-on-${ground}` : color && `ansi-${color}`,
    ...Object.keys(weights).map((name) => `ansi-${name}`),
  ]
    .filter(Boolean)
    .join(" ");
}
