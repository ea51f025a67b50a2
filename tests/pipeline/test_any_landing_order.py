"""A thousand deliveries of one bill, restated over and over, landed in any order: one state, that of the last words."""

import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from pipeline.landing.fetched import Fetched
from pipeline.landing.project import Project
from pipeline.sources import source_named
from tests.models.cloud_harness import cloud_graph
from tests.pipeline.small_project import COST_API, Rows, SmallProject, api_page, cost_result, source

STAGED = "stg_anthropic_cost_api__costs_daily"
FIRST = date(2026, 10, 1)
NOW = datetime(2026, 12, 1, tzinfo=UTC)
COUNT = 1000


WRONG_CLOCK = timedelta(days=4000)


def delivered(chooser: random.Random) -> tuple[list[Fetched], dict[date, Decimal]]:
    """Statements of forty pages, of one to four days each, every one at a second of its own; and what is said last of
    each day. In twenty of them the server's clock is years ahead.
    """
    reader = source_named(COST_API)
    assert reader is not None
    pages = []
    for number in range(40):
        start = chooser.randrange(12)
        days = [FIRST + timedelta(days=start + more) for more in range(chooser.randrange(1, 5))]
        content = api_page({day.isoformat(): [cost_result(str(number))] for day in days})
        pages.append((reader.drop(f"{number}.json", content, {}), days, Decimal(number) / 100))
    found, last = [], dict[date, tuple[int, Decimal]]()
    for second in chooser.sample(range(40 * 86_400, 60 * 86_400), COUNT):
        page, days, amount = chooser.choice(pages)
        stated_at = datetime(2026, 10, 1, tzinfo=UTC) + timedelta(seconds=second)
        stated_at += WRONG_CLOCK if len(found) % 50 == 0 else timedelta()
        found.append(replace(page, stated_at=stated_at, stated_by="http_date"))
        last |= {day: max(last.get(day, (0, amount)), (second, amount)) for day in days}
    return found, {day: amount for day, (_, amount) in last.items()}


def state_of(folder: Path, deliveries: list[Fetched], warm_cache: Path) -> tuple[SmallProject, Rows]:
    made = SmallProject(folder, [source(COST_API, "main")], warm_cache=warm_cache)
    project: Project = made.project
    project.land_config(NOW)
    for place, one in enumerate(deliveries):
        assert one.stated_at is not None
        # What a wrong clock says is of when it came.
        now = NOW + timedelta(seconds=place) if one.stated_at < NOW else one.stated_at - WRONG_CLOCK
        project.landing.land(one, source=COST_API, account="main", now=now)
    answers = made.build(now=NOW + timedelta(days=1), graph=cloud_graph([STAGED]))
    return made, answers.rows(f"select * from {STAGED} order by all")


def test_a_thousand_deliveries_in_any_landing_order_are_one_state(tmp_path: Path, warm_cache: Path) -> None:
    """B9, B10: 735 dollars were counted as 4,389 where each of several windows counted for its days."""
    chooser = random.Random(7)
    deliveries, last = delivered(chooser)
    made, rows = state_of(tmp_path / "first", deliveries, warm_cache)
    assert {row["usage_date"]: row["billed_cost"] for row in rows} == last
    assert len(made.project.landing.contents().deliveries) == COUNT
    _, again = state_of(tmp_path / "again", chooser.sample(deliveries, COUNT), made.cache)
    assert again == rows
