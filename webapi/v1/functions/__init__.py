"""Functions of the server over HTTP."""
