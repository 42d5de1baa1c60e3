"""Where consumers get what they read: files of several formats, here or elsewhere, and tables of databases. One file a kind."""
