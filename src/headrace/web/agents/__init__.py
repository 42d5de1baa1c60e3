"""The commands as tools for agents, over the Model Context Protocol (`headrace mcp`)."""
