// A logged line with the colours of its terminal. Colours are classes of the theme, never the line's own styles.
import { ansiParts, type AnsiStyle } from "./ansi";
import { visibleText } from "./visible";
import "./ansi.css";

/** `mark` is a text to mark where it stands within one colour. */
export function Ansi({ text, mark = "" }: { text: string; mark?: string }) {
  return (
    <>
      {ansiParts(text).map((part, index) => {
        const content = visibleText(part.text);
        const classes = classesOf(part.style);
        return (
          // eslint-disable-next-line @eslint-react/no-array-index-key -- the parts of a line have nothing but their order
          <span key={index} className={classes || undefined}>
            {mark ? <Marked text={content} mark={mark} /> : content}
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

function Marked({ text, mark }: { text: string; mark: string }) {
  return (
    <>
      {text.split(mark).map((part, index) => (
        // eslint-disable-next-line @eslint-react/no-array-index-key -- the parts of a line have nothing but their order
        <span key={index}>
          {index > 0 && <mark>{mark}</mark>}
          {part}
        </span>
      ))}
    </>
  );
}
