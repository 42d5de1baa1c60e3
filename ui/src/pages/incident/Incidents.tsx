import { useSearchParams } from "react-router";
import { useResponse } from "../../api/responses";
import { Empty, Heading, Loaded, Panel, usePageTitle } from "../../parts/Page";
import { IncidentTable } from "./IncidentTable";

export function Incidents() {
  usePageTitle("Incidents");
  const [params, setParams] = useSearchParams();
  const all = params.has("all");
  const response = useResponse("/api/v1/incidents", { query: { all } });
  return (
    <div className="stack">
      <Heading
        title="Incidents"
        subtitle="One for each cause. Only service closes one: nobody can turn it green by hand."
      >
        <label>
          <input
            type="checkbox"
            checked={all}
            onChange={() => setParams(all ? {} : { all: "" }, { replace: true })}
          />{" "}
          resolved ones too
        </label>
      </Heading>
      <Panel title={all ? "All incidents" : "Open incidents"}>
        <Loaded document={response}>
          {(rows) =>
            rows.length ? (
              <IncidentTable rows={rows} keys />
            ) : (
              <Empty>
                <strong>None is open.</strong> An incident opens when something is late, held, wrong
                or fails, with its evidence, its owner and its repair.
              </Empty>
            )
          }
        </Loaded>
      </Panel>
    </div>
  );
}
