// The scores of a source over time: each point is what the score beside it was at the end of a day.
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { read, type Problem, type Schema } from "../../api/client";
import { Empty, Loaded, Panel } from "../../parts/Page";
import { Series, type Point } from "../../parts/Series";
import { windowOf } from "../../parts/words";

type Document = Schema["SourceScoresResponse"];
type Scored = Document["points"][number];

const SCORES: readonly { title: string; value: (point: Scored) => number | null }[] = [
  { title: "Stability", value: (point) => point.stability },
  { title: "Quality", value: (point) => point.quality },
];
const PATH = "/api/v1/sources/{source}/scores";
const format = (score: number) => score.toFixed(3);

/** They are read again when the score beside them, which is the last point, is another. */
export function ScoresByWeek({ row }: { row: Schema["SourceScoreRow"] }) {
  const params = { path: { source: row.source } };
  const response = useQuery<Document, Problem>({
    queryKey: [PATH, params, row.stability, row.quality],
    queryFn: ({ signal }) => read(PATH, params, signal),
    placeholderData: keepPreviousData,
    staleTime: "static", // other changes hardly move 13 windows of 90 days, and all of them are read
  });
  return <Loaded document={response}>{(document) => <Charts document={document} />}</Loaded>;
}

function Charts({ document }: { document: Document }) {
  const { source, window, timezone, deliveries_min: least } = document;
  const first = document.points.findIndex(
    ({ stability, quality }) => stability !== null || quality !== null,
  );
  const points = document.points.slice(first);
  if (first < 0)
    return (
      <Panel title="Scores by week">
        <Empty>
          Nothing to draw yet: a score needs {least} deliveries within {windowOf(window)}.
        </Empty>
      </Panel>
    );
  return (
    <div className="charts">
      {SCORES.map(({ title, value }) => (
        <Panel
          key={title}
          title={`${title} by week`}
          aside={`${windowOf(window)} up to each day, ${timezone}`}
        >
          <Series
            label={`${title} of ${source} by week`}
            quantity={title}
            across="Day"
            points={points.map((point): Point => {
              return { name: point.date, value: value(point), marked: false };
            })}
            format={format}
            missing="no score"
          />
        </Panel>
      ))}
    </div>
  );
}
