"""Functions of the server: typed Python functions that a model, or a client, may have called here.

They run in child processes (`toolbox`); only those import the functions themselves and what they need.
"""
