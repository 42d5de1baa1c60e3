// How long something holds, chosen from a few durations.

export function DurationField({
  until,
  choose,
  choices,
}: {
  until: string;
  choose: (until: string) => void;
  choices: Record<string, string>;
}) {
  return (
    <label className="row">
      How long
      <select
        className="input"
        style={{ width: "auto" }}
        value={until}
        onChange={(event) => choose(event.target.value)}
      >
        {Object.entries(choices).map(([value, label]) => (
          <option key={value} value={value}>
            {label}
          </option>
        ))}
      </select>
    </label>
  );
}
