"""Documents in collections, cut into chunks, to be searched. Row-level security guards every table."""
