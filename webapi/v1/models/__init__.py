"""The models over HTTP."""
