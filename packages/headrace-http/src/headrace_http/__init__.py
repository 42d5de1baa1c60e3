"""HTTP for Headrace: APIs, whose pages become one delivery, and files behind URLs, as sources."""
