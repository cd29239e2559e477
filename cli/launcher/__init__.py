"""Everything on this machine, started, kept alive and stopped together."""
