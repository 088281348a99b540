"""What can go wrong: every error that a user can mend.

A traceback names each by the place that users import it from.
"""

from __future__ import annotations


class SpikernError(Exception):
    """Anything that the user can mend; the message says what came and what to do."""

    __module__ = "spikern"


class InputError(SpikernError, ValueError):
    """A wrong shape, dtype, value or name at a boundary."""

    __module__ = "spikern"


class DataError(SpikernError, OSError):
    """A data or result file that is missing, corrupt, or would be overwritten."""

    __module__ = "spikern"


class DivergedError(SpikernError, ArithmeticError):
    """A training whose loss, or gradients of three batches in a row, are not finite."""

    __module__ = "spikern"


class UnsupportedError(SpikernError, TypeError):
    """An engine or the counter was given something that it does not know."""

    __module__ = "spikern"
