"""What runs models. Each model library is imported by one module here, in the engine host only.

Nothing is imported at this place: the hosts would carry all that a worker needs to talk to them.
"""
