"""Files of tenants: bytes written to where they are kept as they come, and read by ranges."""
