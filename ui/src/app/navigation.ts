// The pages of the navigation, by what one asks, and the keys that go there (g, then the key).
export const GROUPS = [
  "",
  "What is there?",
  "What runs?",
  "What changes?",
  "What does it cost?",
] as const;
export type Entry = { path: string; name: string; key: string; group: (typeof GROUPS)[number] };

export const NAVIGATION: readonly Entry[] = [
  { path: "/", name: "Today", key: "t", group: "" },
  { path: "/incidents", name: "Incidents", key: "i", group: "" },
  { path: "/consumers", name: "Consumers", key: "c", group: "" },
  { path: "/assets", name: "Assets", key: "a", group: "What is there?" },
  { path: "/graph", name: "Graph", key: "e", group: "What is there?" },
  { path: "/checks", name: "Checks", key: "h", group: "What is there?" },
  { path: "/sql", name: "SQL", key: "q", group: "What is there?" },
  { path: "/runs", name: "Runs", key: "r", group: "What runs?" },
  { path: "/calendar", name: "Calendar", key: "n", group: "What runs?" },
  { path: "/backfills", name: "Backfills", key: "b", group: "What runs?" },
  { path: "/plan", name: "Plan", key: "p", group: "What changes?" },
  { path: "/dev", name: "Edited files", key: "d", group: "What changes?" },
  { path: "/approvals", name: "Approvals", key: "o", group: "What changes?" },
  { path: "/audit", name: "Audit", key: "l", group: "What changes?" },
  { path: "/use", name: "Readers", key: "u", group: "What does it cost?" },
  { path: "/bottleneck", name: "Waits", key: "w", group: "What does it cost?" },
  { path: "/complexity", name: "Unneeded", key: "x", group: "What does it cost?" },
];
