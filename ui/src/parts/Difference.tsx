// What changed in a text: a unified diff whose lines say by a sign and by their ground what they are.
import { visibleText } from "./visible";
import { many } from "./words";
import "./difference.css";

type Props = { of: string; diff: string | null; truncated: boolean };

export function Difference({ of, diff, truncated }: Props) {
  if (diff === null)
    return <p className="muted">{truncated ? "Too long to compare here." : "It isn’t text."}</p>;
  const lines = diff.split("\n");
  return (
    <>
      <pre
        className="diff"
        tabIndex={0}
        role="group"
        aria-label={`Difference of ${visibleText(of)}`}
      >
        {lines.map((line, index) => (
          // eslint-disable-next-line @eslint-react/no-array-index-key -- the lines of a difference have nothing but their order
          <span key={index} className={toneOf(line)}>
            {visibleText(line)}
            {"\n"}
          </span>
        ))}
      </pre>
      {truncated && <p className="muted small">{many(lines.length, "line")} of more</p>}
    </>
  );
}

function toneOf(line: string): string | undefined {
  if (line.startsWith("+")) return "added";
  return line.startsWith("-") ? "removed" : line.startsWith("@@") ? "muted" : undefined;
}
