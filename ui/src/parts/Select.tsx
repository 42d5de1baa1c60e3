// One of several values, chosen from a list.
import "./filters.css";

type Choices = readonly (readonly [value: string, text: string])[];
type Props = {
  name: string;
  value: string;
  choices: Choices;
  choose: (value: string) => void;
  /** Whether it stands beside its name, not below it. */
  inline?: boolean;
};

export function Select({ name, value, choices, choose, inline = false }: Props) {
  return (
    <label>
      {name}{" "}
      <select
        className={inline ? "input inline" : "input"}
        value={value}
        onChange={({ target }) => choose(target.value)}
      >
        {choices.map(([choice, text]) => (
          <option key={choice} value={choice}>
            {text}
          </option>
        ))}
      </select>
    </label>
  );
}

type FilterProps = {
  name: string;
  value: string | undefined;
  choices: readonly string[];
  choose: (value: string) => void;
  /** What is written instead of a value. */
  textOf?: (choice: string) => string;
};
const asItIs = (choice: string) => choice;

/** A filter by one value, or by none; nothing where there is no value to filter by. */
export function FilterSelect({ name, value = "", choices, choose, textOf = asItIs }: FilterProps) {
  if (!choices.length && !value) return null;
  // What is chosen stays a choice where nothing is like that any more.
  const all = !value || choices.includes(value) ? choices : [value, ...choices];
  return (
    <Select
      name={name}
      value={value}
      choices={[["", "any"], ...all.map((choice) => [choice, textOf(choice)] as const)]}
      choose={choose}
    />
  );
}
