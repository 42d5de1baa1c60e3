"""A Headrace project described by what is applied and what ran: `headrace docs`."""
