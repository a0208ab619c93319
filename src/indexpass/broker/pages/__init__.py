"""The pages on which people sign in and approve: plain HTML without JavaScript."""
