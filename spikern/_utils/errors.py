"""What can go wrong: every error that a user can mend."""

from __future__ import annotations


class SpikernError(Exception):
    """Anything that the user can mend; the message says what came and what to do."""


class InputError(SpikernError, ValueError):
    """A wrong shape, dtype, value or name at a boundary."""


class DataError(SpikernError, OSError):
    """A data or result file that is missing, corrupt, or would be overwritten."""


class DivergedError(SpikernError, ArithmeticError):
    """Training produced a loss or gradient that is not finite."""


class UnsupportedError(SpikernError, TypeError):
    """An engine or the counter was given something that it does not know."""
