"""Documents: brought, cut into chunks, searched and asked about."""
