"""Who gives me a credential? One module per platform; see ``indexpass._registry`` for the list."""
