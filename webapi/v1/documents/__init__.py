"""Documents over HTTP, and their collections."""
