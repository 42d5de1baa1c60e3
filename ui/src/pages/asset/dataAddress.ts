// What a page of rows shows is in its address: filters, order, search, columns, partition and snapshot.

export const OPERATORS = [
  ["eq", "="],
  ["ne", "≠"],
  ["lt", "<"],
  ["le", "≤"],
  ["gt", ">"],
  ["ge", "≥"],
  ["contains", "contains"],
  ["null", "is null"],
  ["not_null", "is not null"],
] as const;
export type Operator = (typeof OPERATORS)[number][0];
export type RowsFilter = { column: string; operator: Operator; value: string };
export type DataQuery = {
  partition: string | null;
  version: number | null;
  columns: readonly string[];
  /** A column, with `-` in front for descending; null for the table's own order. */
  sort: string | null;
  filters: readonly RowsFilter[];
  search: string;
};

const isOperator = (text: unknown): text is Operator =>
  OPERATORS.some(([operator]) => operator === text);

/** The query in an address; what can't be read of it isn't in it. */
export function queryOf(params: URLSearchParams): DataQuery {
  const version = params.get("version") ?? "";
  return {
    partition: params.get("partition"),
    version: /^\d{1,15}$/.test(version) ? Number(version) : null,
    columns: params.getAll("columns").filter(Boolean),
    sort: params.get("sort") ?? null,
    filters: params.getAll("where").flatMap(filterOf),
    search: params.get("search") ?? "",
  };
}

function filterOf(text: string): RowsFilter[] {
  try {
    const [column, operator, value] = JSON.parse(text) as unknown[];
    if (typeof column !== "string" || !isOperator(operator)) return [];
    return [{ column, operator, value: typeof value === "string" ? value : "" }];
  } catch {
    return [];
  }
}

/** A filter as the server and the address have it. */
export function whereOf({ column, operator, value }: RowsFilter): string {
  return JSON.stringify(
    operator === "null" || operator === "not_null" ? [column, operator] : [column, operator, value],
  );
}

/** The parameters of a request for these rows. */
export function parametersOf(query: DataQuery) {
  return {
    ...(query.partition ? { partition: query.partition } : {}),
    ...(query.version === null ? {} : { version: query.version }),
    ...(query.columns.length ? { columns: [...query.columns] } : {}),
    ...(query.sort ? { sort: [query.sort] } : {}),
    ...(query.filters.length ? { where: query.filters.map(whereOf) } : {}),
    ...(query.search ? { search: query.search } : {}),
  };
}

/** An address with other rows; everything else in it stays. */
export function changed(params: URLSearchParams, change: Partial<DataQuery>): URLSearchParams {
  const query = { ...queryOf(params), ...change };
  const next = new URLSearchParams(params);
  for (const name of ["partition", "version", "columns", "sort", "where", "search"])
    next.delete(name);
  for (const [name, value] of Object.entries(parametersOf(query)))
    for (const item of Array.isArray(value) ? value : [value]) next.append(name, String(item));
  return next;
}

/** The order after another click on a column: ascending, descending, the table's own. */
export function nextSort(sort: string | null, column: string): string | null {
  if (sort === column) return `-${column}`;
  return sort === `-${column}` ? null : column;
}

/** The file with the rows that these filters leave, all of them. */
export function fileAddress(
  name: string,
  format: "csv" | "parquet",
  query: DataQuery,
  snapshot: number | null,
): string {
  const version = query.version ?? snapshot;
  const params = changed(new URLSearchParams(), { ...query, version });
  return `/data/${encodeURIComponent(name)}.${format}?${params}`;
}

export function filterText({ column, operator, value }: RowsFilter): string {
  const sign = OPERATORS.find(([name]) => name === operator)?.[1] ?? operator;
  return [column, sign, operator === "null" || operator === "not_null" ? "" : value]
    .filter(Boolean)
    .join(" ");
}
