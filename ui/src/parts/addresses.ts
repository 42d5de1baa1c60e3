// Where a thing's page is. Names come from users: they are encoded whole, slashes too.
const PAGES: ReadonlyMap<string, string> = new Map([
  ["consumer", "consumers"],
  ["asset", "assets"],
  ["source", "sources"],
  ["incident", "incidents"],
  ["run", "runs"],
  ["backfill", "backfills"],
]);

export function addressOf(kind: string, name: string, of?: string | null): string {
  if (kind === "person") return `/audit?${new URLSearchParams({ actor: name })}`;
  const page = PAGES.get(kind);
  if (page) return `/${page}/${encodeURIComponent(name)}`;
  if (of) return `/assets/${encodeURIComponent(of)}?${new URLSearchParams({ [kind]: name })}`;
  return `/assets?${new URLSearchParams({ [kind]: name })}`;
}
