// The pages of the navigation, and the keys that go there (g, then the key).
export type Entry = { path: string; name: string; key: string; group: "" | "Explore" | "Govern" };

export const NAVIGATION: readonly Entry[] = [
  { path: "/", name: "Today", key: "t", group: "" },
  { path: "/incidents", name: "Incidents", key: "i", group: "" },
  { path: "/consumers", name: "Consumers", key: "c", group: "" },
  { path: "/assets", name: "Assets", key: "a", group: "Explore" },
  { path: "/graph", name: "Graph", key: "e", group: "Explore" },
  { path: "/calendar", name: "Calendar", key: "n", group: "Explore" },
  { path: "/runs", name: "Runs", key: "r", group: "Explore" },
  { path: "/sql", name: "SQL", key: "q", group: "Explore" },
  { path: "/backfills", name: "Backfills", key: "b", group: "Explore" },
  { path: "/plan", name: "Plan", key: "p", group: "Govern" },
  { path: "/dev", name: "Dev", key: "d", group: "Govern" },
  { path: "/approvals", name: "Approvals", key: "o", group: "Govern" },
  { path: "/checks", name: "Checks", key: "h", group: "Govern" },
  { path: "/use", name: "Use", key: "u", group: "Govern" },
  { path: "/bottleneck", name: "Bottleneck", key: "w", group: "Govern" },
  { path: "/complexity", name: "Complexity", key: "x", group: "Govern" },
  { path: "/audit", name: "Audit", key: "l", group: "Govern" },
];
