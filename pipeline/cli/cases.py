"""Cases as `status` and `alerts list` print them."""

from collections.abc import Sequence

from pipeline.alerts.told import Standing
from pipeline.cli.options import print_table


def print_cases(cases: Sequence[Standing]) -> None:
    """One line a case: what was told, of which day, and how it stands."""
    cells = [[case.case_key, case.state, str(case.told_of), case.standing] for case in cases]
    print_table(["case", "state", "told of", "stands"], cells, "Cases")
