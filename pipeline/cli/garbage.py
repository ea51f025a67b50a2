"""Python's search for cycles of garbage, which a process that makes much and then ends has little need of."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def cycles_seldom_sought() -> Iterator[None]:
    """Python looks for cycles of garbage whenever 700 objects are new. Dagster makes a million that stay for the run's
    few seconds: looking was a tenth of it (2026-11-21).
    """
    before = gc.get_threshold()
    gc.set_threshold(50_000)
    try:
        yield
    finally:
        gc.set_threshold(*before)
