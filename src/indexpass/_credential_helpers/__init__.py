"""How other programs ask for credentials in protocols of their own: git, Bazel, Docker. One module a protocol.

Each turns a question into a URL or host, and a credential into an answer. None of them decides which index that is,
obtains anything, or reads or writes but what it is given.
"""
