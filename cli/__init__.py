"""The `forebay` command: it starts everything, and it is a client of the API."""
