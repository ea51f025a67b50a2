"""`breakeven run` without Dagster: what it fetches, builds and prints is the same, only nobody records it."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch


class NoDailyJob:
    """In the place of `pipeline.cli.beside.DailyJob`."""

    def __enter__(self) -> "NoDailyJob":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def begin(self, order: object) -> None:
        pass

    def tell(self, table: object) -> None:
        pass

    def go_on(self, built: object) -> None:
        pass

    def give_up(self, error: object) -> None:
        pass

    def result(self) -> list[str]:
        return []


@contextmanager
def nobody_records() -> Iterator[None]:
    with patch("pipeline.cli.run.DailyJob", NoDailyJob):
        yield
