"""What the installation says of itself: its tables' version, PostgreSQL's connections, what Redis is set to."""
