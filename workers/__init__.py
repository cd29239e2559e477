"""A process that holds a model: its composition root, its engines, and the loop that runs jobs."""
