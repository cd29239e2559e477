"""What mends itself: the sweep, and one file for each chore of it."""
