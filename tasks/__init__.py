"""What a job is and how it moves: every rule both sides must agree on."""
