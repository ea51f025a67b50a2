"""What is paid by the hour, whatever it does: GPUs, and the people who look after them."""

from fractions import Fraction

from pipeline.economics.exact import Exact, not_negative


def gpu_rent(*, gpu_hour_rate: Exact, gpus: Exact, hours: Exact) -> Fraction:
    """Money for so many GPUs over so many hours, unrounded: rate x GPUs x hours.

    `hours` are those of the horizon itself (calendar hours, never an implied 720). Raises ValueError for a number below
    zero. Source: economics.md 2, "hours are explicit everywhere".
    """
    rate, count = not_negative(gpu_hour_rate, "gpu_hour_rate"), not_negative(gpus, "gpus")
    return rate * count * not_negative(hours, "hours")


def engineering_cost(*, hours: Exact, hour_rate: Exact) -> Fraction:
    """Money for so many hours of work at what one costs, unrounded. Raises ValueError for a number below zero.

    Source: economics.md 2, F itemised.
    """
    return not_negative(hours, "hours of engineering") * not_negative(hour_rate, "hour_rate")
