"""Ollama's dialect: NDJSON, options, and times in nanoseconds."""
