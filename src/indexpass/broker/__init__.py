"""The broker: trades proof of identity for short-lived tokens of one index, and checks those tokens.

The server's half of indexpass; it needs the ``broker`` extra. Nothing here is imported by the client.
"""
