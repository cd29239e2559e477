"""Programs that measure us beside other systems in one run."""
