"""A job's stream: its entries, their one writer's and many readers' sides."""
