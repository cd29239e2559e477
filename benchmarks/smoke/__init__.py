"""What `benchmarks.clients_matrix` has each client do, in an environment of the client's own.

Each program prints a line of JSON for each thing it does: its name, and whether it went well or what went wrong.
"""
