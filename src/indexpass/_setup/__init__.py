"""What each client needs so that it asks keyring, and how its own file says so. One module a client.

Each module has one function, ``plan``: it looks at the machine and returns what would be changed, and what a person has
to do besides. Nothing here writes, asks a person, or puts a secret anywhere; ``indexpass setup`` does the first two.
"""
