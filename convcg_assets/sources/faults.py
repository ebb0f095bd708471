"""The error of a log that cannot be read."""


class LandingError(ValueError):
    """A log that cannot be read: which file, what is wrong, what would be right."""
