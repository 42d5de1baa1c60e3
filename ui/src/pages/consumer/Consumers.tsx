import { useStatus } from "../../api/responses";
import { Empty, Heading, Loaded, Panel, usePageTitle } from "../../parts/Page";
import { ConsumerTable } from "./ConsumerTable";

export function Consumers() {
  usePageTitle("Consumers");
  return (
    <Loaded document={useStatus()} heading="Consumers">
      {({ consumers }) => (
        <div className="stack">
          <Heading
            title="Consumers"
            subtitle="Readers of the data, with their promises (deadline or age) and current states."
          />
          <Panel title="All consumers" aside={`${consumers.length}`}>
            {consumers.length ? (
              <ConsumerTable rows={consumers} keys />
            ) : (
              <Empty>
                None is declared yet: <code>consumers.yaml</code> says who needs what by when.
              </Empty>
            )}
          </Panel>
        </div>
      )}
    </Loaded>
  );
}
