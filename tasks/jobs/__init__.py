"""The job: its row, its states, its attempts, its ends, and how clients see it."""
