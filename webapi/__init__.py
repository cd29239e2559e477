"""The HTTP API: requests in, JSON and server-sent events out."""
