"""The models that are served, and what an engine must be able to do."""
