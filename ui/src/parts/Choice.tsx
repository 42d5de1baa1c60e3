// Values of which one is chosen, each with an address.
import { Link, useSearchParams } from "react-router";

type Props = {
  label: string;
  /** The parameter of the address. */
  name: string;
  values: readonly string[];
  chosen: string | null;
  /** What is written instead of a value. */
  textOf?: (value: string) => string;
};
const asItIs = (value: string) => value;

export function Choice({ label, name, values, chosen, textOf }: Props) {
  const [params] = useSearchParams();
  return (
    <nav className="row choice" aria-label={label}>
      <span className="muted small">{label}</span>
      {values.map((value) => (
        <Link
          key={value}
          className={textOf ? undefined : "mono"}
          to={`?${new URLSearchParams({ ...Object.fromEntries(params), [name]: value })}`}
          replace
          preventScrollReset
          aria-current={value === chosen ? "true" : undefined}
        >
          {(textOf ?? asItIs)(value)}
        </Link>
      ))}
    </nav>
  );
}
