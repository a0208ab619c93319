"""Finds secrets in texts and files, and says what stands there in place of them. It never shows one.

From the outside in: :mod:`files` reads what a person named, :mod:`forms` says what kind of file each one is,
:mod:`search` finds the secrets of a text by :mod:`urls`, :mod:`settings` and :mod:`netrc`, and :mod:`values` and
:mod:`kinds` judge whether a value is a secret. :mod:`report` puts it into words, JSON and SARIF. Nothing here asks the
network, writes a file or prints.
"""
