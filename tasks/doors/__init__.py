"""What the API, the workers and the command call: a job accepted, asked for again, read."""
