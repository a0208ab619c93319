"""People's sign-in at the company's own OpenID provider, whose client the broker is."""
