import { useId } from "react";
import { chooseZone, useZone, type ZoneChoice } from "../parts/zone";

/** In which time zone all times are shown; kept in this browser. */
export function ZoneSwitch() {
  const { choice, project } = useZone();
  const fieldId = useId();
  if (project === undefined) return null;
  return (
    <>
      <label className="visually-hidden" htmlFor={fieldId}>
        Time zone
      </label>
      <select
        id={fieldId}
        className="zone"
        title="Time zone of all times. Days of partitions stay those of the project."
        value={choice}
        onChange={(event) => chooseZone(event.target.value as ZoneChoice)}
      >
        <option value="project">Project time</option>
        <option value="mine">My time</option>
        <option value="utc">UTC</option>
      </select>
    </>
  );
}
