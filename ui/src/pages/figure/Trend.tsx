// A figure by day: of each consumer or node, or of owners and domains, one of them at a time.
import { useSearchParams } from "react-router";
import type { Schema } from "../../api/client";
import { useResponse } from "../../api/responses";
import { Choice } from "../../parts/Choice";
import { formatDuration } from "../../parts/durations";
import { useFilters } from "../../parts/filters";
import { Empty, Loaded, Panel } from "../../parts/Page";
import { Select } from "../../parts/Select";
import { Series } from "../../parts/Series";

type Document = Schema["FigureTrend"];
const GROUPS = ["each", "owner", "domain"] as const;
type Group = (typeof GROUPS)[number];

/** Figures with values by day, each with the trend that shows it and what it is grouped by first. */
const TRENDS: Record<string, readonly [figure: string, by: Group]> = {
  availability: ["availability", "each"],
  owners: ["availability", "owner"],
  domains: ["availability", "domain"],
  promises: ["promises", "each"],
  goodput: ["goodput", "each"],
  throughput: ["compute", "each"],
};

export function Trend({ figure }: { figure: string }) {
  const trend = TRENDS[figure];
  return trend ? <ByDay figure={trend[0]} usual={trend[1]} /> : null;
}

function ByDay({ figure, usual }: { figure: string; usual: Group }) {
  const [params] = useSearchParams();
  const by = GROUPS.find((group) => group === params.get("by")) ?? usual;
  return (
    <Loaded
      document={useResponse("/api/v1/figures/{figure}/trend", {
        path: { figure },
        query: { by },
      })}
    >
      {(document) => (
        <Panel title="By day" aside={`${document.meaning}; today isn’t over`}>
          <div className="body stack">
            <Choice
              label="Of"
              name="by"
              values={GROUPS}
              chosen={document.by}
              textOf={(value) => value}
            />
            <OfOne key={document.by} document={document} />
          </div>
        </Panel>
      )}
    </Loaded>
  );
}

function OfOne({ document }: { document: Document }) {
  const { values, set } = useFilters(["of"]);
  const rows = document.rows.filter(({ values }) => values.some((value) => value !== null));
  const row = rows.find((item) => item.of === values.of) ?? worstOf(rows, document.unit);
  if (!row) return <Empty>Nothing has been counted in these days yet.</Empty>;
  return (
    <>
      {rows.length > 1 && (
        <Select
          name="Name"
          value={row.of}
          choices={rows.map(({ of }) => [of, of] as const)}
          choose={(of) => set("of", of)}
          inline
        />
      )}
      <Series
        label={`${row.of} by day`}
        quantity={document.unit === "%" ? "Percent" : "Duration"}
        across="Day"
        points={document.days.map((name, index) => ({
          name,
          value: row.values[index] ?? null,
          marked: false,
        }))}
        format={document.unit === "%" ? (value) => `${value} %` : formatDuration}
      />
    </>
  );
}

/** The one that was served least, or took most: what a reader looks for first. */
function worstOf(rows: Document["rows"], unit: string): Document["rows"][number] | undefined {
  const sign = unit === "%" ? 1 : -1;
  const mean = ({ values }: Document["rows"][number]) => {
    const known = values.filter((value) => value !== null);
    return (sign * known.reduce((sum, value) => sum + value, 0)) / known.length;
  };
  return rows.toSorted((one, other) => mean(one) - mean(other))[0];
}
