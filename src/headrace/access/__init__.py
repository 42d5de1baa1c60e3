"""Who may see and do what: permissions, visible nodes, approvals, values hidden from a reader."""
