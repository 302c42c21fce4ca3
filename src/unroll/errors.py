"""The one exception for what a person can mend: a file, a row, a key, a flag."""


class BadInput(ValueError):
    """One clear sentence that names the place and the remedy; the command line prints it and exits with 2."""
