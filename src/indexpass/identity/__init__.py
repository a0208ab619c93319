"""Who am I? One module per identity source; see ``indexpass._registry`` for the list."""
