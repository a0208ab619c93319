"""Requests to an index: who may go on, and the built-in index itself."""
