"""What ``indexpass exec`` hands to a command that cannot ask keyring: variables, a file that dies with it, masks."""
