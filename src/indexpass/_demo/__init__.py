"""The demonstration: the whole product run once on one machine, with the real clients. See ``play`` for the story."""
