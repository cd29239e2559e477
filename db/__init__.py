"""Tables and their queries, one noun per file. Nothing here knows Flask, Celery or Redis."""
