// What somebody decides about values that aren't what they were: each expression, or that they are taken as they are.
import { useId, useState } from "react";
import type { Schema } from "../../api/client";
import { Command } from "../../parts/Command";

type Mapping = Schema["MappingRow"];
/** As `--convert` and `--as-is` take it. */
export type Decided = { convert: readonly string[]; as_is: boolean };
export const UNDECIDED: Decided = { convert: [], as_is: false };
export const VALUES_DIFFER = "values_differ";

type Props = {
  rows: readonly Mapping[];
  refused: Schema["RefusedRow"] | null;
  decided: Decided;
  decide: (decided: Decided) => void;
};

/** Nothing where the values of every accepted name are what they were. */
export function Decision({ rows, refused, decided, decide }: Props) {
  const differing = rows.filter((row) => row.differs.length > 0);
  if (!differing.length) return null;
  const open = refused?.code === VALUES_DIFFER;
  return (
    <section className={`notice ${open ? "tone-warn" : ""}`} aria-label="Decide about values">
      <div className="stack" style={{ flex: 1 }}>
        <p>
          <strong>{open ? "The values differ. Decide what they mean:" : "Decided:"}</strong>{" "}
          {!open && (
            <button type="button" className="button plain" onClick={() => decide(UNDECIDED)}>
              Reset decision
            </button>
          )}
        </p>
        {differing.map((row) => (
          <Differs key={row.column} row={row} />
        ))}
        {open && <Choice key={decided.convert.join()} rows={differing} decide={decide} />}
        {open && refused.commands.map((text) => <Command key={text} text={text} />)}
      </div>
    </section>
  );
}

function Differs({ row }: { row: Mapping }) {
  return (
    <div>
      <code>{row.column}</code> ← <code>{row.convert ?? row.to}</code>
      <ul className="small muted">
        {row.differs.map((differ) => (
          <li key={differ.text}>{differ.text}</li>
        ))}
      </ul>
    </div>
  );
}

function Choice({
  rows,
  decide,
}: {
  rows: readonly Mapping[];
  decide: (decided: Decided) => void;
}) {
  const [texts, setTexts] = useState(() =>
    Object.fromEntries(rows.map((row) => [row.to, row.proposed ?? ""])),
  );
  const id = useId();
  const expressions = Object.values(texts)
    .map((text) => text.trim())
    .filter(Boolean);
  return (
    <form
      className="stack"
      onSubmit={(event) => {
        event.preventDefault();
        decide({ convert: expressions, as_is: false });
      }}
    >
      {rows.map((row, index) => (
        <div key={row.to}>
          <label htmlFor={`${id}${index}`}>Convert {row.to} by</label>
          <input
            id={`${id}${index}`}
            className="input mono"
            value={texts[row.to] ?? ""}
            placeholder={`${row.to} / 100`}
            onChange={(event) => setTexts({ ...texts, [row.to]: event.target.value })}
          />
        </div>
      ))}
      <span className="row">
        <button type="submit" className="button" disabled={expressions.length < rows.length}>
          Convert
        </button>
        <button
          type="button"
          className="button"
          onClick={() => decide({ convert: [], as_is: true })}
        >
          Accept as is
        </button>
      </span>
    </form>
  );
}
