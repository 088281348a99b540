"""Numbers as text: one function per kind of quantity, for the terminal, HTML, and Markdown.

The README and the pages of the studies were written with formats that differ in the gap before a
percent sign and in the digits of a count and a ratio; arguments choose between them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence


def significant(value: float, digits: int = 3) -> str:
    """A number with this many significant digits; from a million on with an exponent.

    >>> significant(0.012345), significant(2.5), significant(16_000.0), significant(5.91e7)
    ('0.0123', '2.5', '16000', '5.91e+07')
    """
    text = f"{value:.{digits}g}"
    return f"{float(text):.0f}" if "e+" in text and abs(value) < 1e6 else text


def count(value: float) -> str:
    """A count in units, thousands, millions or billions, with three significant digits.

    >>> count(1_234_567), count(0), count(123_456), count(999_600)
    ('1.23 M', '0', '123 k', '1 M')
    """
    return _scaled(value, ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k"), (1.0, "")))


def aligned_count(value: float) -> str:
    """A count as in the columns of a text table, where every prefix has its number of decimals.

    >>> [aligned_count(value) for value in (123_456, 0, 2_500_000, 999_960, 0.254, 9)]
    ['123.5 k', '0', '2.50 M', '1.00 M', '0.25', '9']
    """
    if round(value / 1e3, 1) >= 1e3:
        return f"{value / 1e6:.2f} M"
    if value < 10:
        return significant(value, 2)
    return f"{value / 1e3:.1f} k" if round(value) >= 1e3 else f"{value:.0f}"


def units(hidden: int | Sequence[int]) -> str:
    """Hidden units of all layers, or of each.

    >>> units(64), units([64, 256])
    ('64', '64, 256')
    """
    return ", ".join(map(str, [hidden] if isinstance(hidden, int) else hidden))


def energy(pj: float) -> str:
    """An energy given in pJ, in pJ to kJ.

    >>> energy(1234.0), energy(5.0e9), energy(0.25), energy(999.6)
    ('1.23 nJ', '5 mJ', '0.25 pJ', '1 nJ')
    """
    units = ((1e15, " kJ"), (1e12, " J"), (1e9, " mJ"), (1e6, " µJ"), (1e3, " nJ"), (1.0, " pJ"))
    return _scaled(pj, units)


def _scaled(value: float, units: Sequence[tuple[float, str]]) -> str:
    """A value with the largest unit that it reaches when it is rounded, else with the last."""
    rounded = float(significant(value))
    size, unit = next((each for each in units if rounded >= each[0]), units[-1])
    return significant(rounded / size) + unit


def duration(milliseconds: float) -> str:
    """The time of one inference.

    >>> duration(0.0271), duration(1.3), duration(0.0996)
    ('27 µs', '1.30 ms', '0.10 ms')
    """
    microseconds = round(1e3 * milliseconds)
    return f"{milliseconds:.2f} ms" if microseconds >= 100 else f"{microseconds} µs"


def percent(fraction: float, decimals: int = 1, gap: str = "") -> str:
    """A fraction in per cent; `gap` stands before the sign.

    >>> percent(0.5), percent(0.0512, 2), percent(0.5, gap=" ")
    ('50.0%', '5.12%', '50.0 %')
    """
    return f"{100 * fraction:.{decimals}f}{gap}%"


def or_else(value: float | None, text: Callable[[float], str], missing: str = "-") -> str:
    """A value as text, or what stands for one that is missing.

    >>> or_else(0.5, percent), or_else(None, percent)
    ('50.0%', '-')
    """
    return missing if value is None else text(value)


def mean_interval(
    mean: float, interval: Sequence[float] | None, decimals: int = 1, unit: str = ""
) -> str:
    """A mean with its unit, and half of its interval where there is one.

    >>> mean_interval(92.0, (87.0, 97.0), unit="%"), mean_interval(1.2345, None, 3)
    ('92.0% ± 5.0', '1.234')
    """
    half = "" if interval is None else f" ± {(interval[1] - interval[0]) / 2:.{decimals}f}"
    return f"{mean:.{decimals}f}{unit}{half}"


def signed(value: float, decimals: int = 1) -> str:
    """A difference with its sign.

    >>> signed(-1.23), signed(0.5, 3)
    ('-1.2', '+0.500')
    """
    return f"{value:+.{decimals}f}"


def ratio(value: float, digits: int = 2, sign: str = "x") -> str:
    """A factor with this many significant digits, and none after the point that are not among them.

    >>> ratio(0.25), ratio(12.3), ratio(12.34, 3), ratio(1234.5)
    ('0.25x', '12x', '12.3x', '1234x')
    """
    whole = value >= 10 ** (digits - 1)
    return f"{f'{value:.0f}' if whole else significant(value, digits)}{sign}"


def extent(
    values: Iterable[float | None],
    text: Callable[[float], str],
    between: str = " – ",
    empty: str = "-",
) -> str:
    """The least and the greatest value, or one where both have the same text; None is left out.

    >>> extent([3e3, None, 5.0], energy), extent([], energy), extent([1.0, 2.0], ratio, " to ")
    ('5 pJ – 3 nJ', '-', '1x to 2x')
    """
    there = [value for value in values if value is not None]
    if not there:
        return empty
    low, high = text(min(there)), text(max(there))
    return low if low == high else f"{low}{between}{high}"


def lower_or_higher(ratios: Sequence[float]) -> str:
    """How much lower something is than another, given the ratios of the other to it, up to "than".

    >>> lower_or_higher([2.0, 8.0]), lower_or_higher([0.5, 0.25])
    ('2 – 8 times lower than', '2 – 4 times higher than')
    >>> lower_or_higher([0.5, 4.0]), lower_or_higher([1.0, 4.0]), lower_or_higher([1.0])
    ('from 2 times higher to 4 times lower than', 'from no lower to 4 times lower than', 'equal to')
    >>> lower_or_higher([0.96, 1.04]), lower_or_higher([0.25, 0.96])
    ('equal to', 'from 4 times higher to no higher than')
    """

    def times(value: float) -> str:
        return ratio(value, sign="")

    def even(value: float) -> bool:
        return "1" in (times(value), times(1 / value))

    low, high = min(ratios), max(ratios)
    if even(low) and even(high):
        return "equal to"
    if even(low):
        return f"from no lower to {times(high)} times lower than"
    if even(high):
        return f"from {times(1 / low)} times higher to no higher than"
    if low >= 1.0:
        return f"{extent([low, high], times)} times lower than"
    if high <= 1.0:
        return f"{extent([1 / high, 1 / low], times)} times higher than"
    return f"from {times(1 / low)} times higher to {times(high)} times lower than"
