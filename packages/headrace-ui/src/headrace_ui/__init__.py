"""The pages of Headrace's web UI, and the data that only they ask for."""
