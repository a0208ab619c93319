"""Whose identity tokens are believed, and how that is found out."""
