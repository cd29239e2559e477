"""How waiting jobs get to workers: the window, the order, and what is sent."""
