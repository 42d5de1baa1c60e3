import { usePageTitle } from "../../parts/Page";

export function Graph() {
  usePageTitle("Graph");
  return <h1>Graph</h1>;
}
