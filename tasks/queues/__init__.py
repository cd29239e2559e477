"""How waiting jobs get to workers: the window, what is sent, and the sweep that mends the rest."""
