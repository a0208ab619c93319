"""What the broker remembers, in its database."""
