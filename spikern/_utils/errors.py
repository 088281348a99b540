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
    """A training whose loss or gradients are not finite, or that lost what it had learned."""

    __module__ = "spikern"


class UnsupportedError(SpikernError, TypeError):
    """What a part of spikern cannot do, or what needs a package that is not installed."""

    __module__ = "spikern"
