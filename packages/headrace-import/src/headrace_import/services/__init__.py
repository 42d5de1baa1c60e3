"""What `headrace import` and its actions do."""
