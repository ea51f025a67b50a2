"""Invoices that leave a declared machine out, and one paid years ahead: both routes, from the same bytes."""

from datetime import date, timedelta
from typing import Any

import pytest
import yaml

from pipeline.paths import models_root
from tests.oracle.compare import differences
from tests.oracle.gpu_bills import Seen, gpu_figures
from tests.oracle.landed import read_project
from tests.pipeline.small_project import INVOICE, NOW, Answers, SmallProject, invoice_csv, source

ACCOUNT = "gpucloud"
TABLES = ("fct_gpu_costs_daily", "fct_gpu_leftovers_daily", "fct_reconciliation_invoice")
MACHINES = [
    {"resource_id": "server-1", "host": "host-1", "gpu_count": 1, "from": "2026-09-01"},
    {"resource_id": "server-2", "host": "host-2", "gpu_count": 2, "from": "2026-09-01"},
    {
        "resource_id": "server-3",
        "host": "host-3",
        "gpu_count": 4,
        "contract_rate_per_gpu_hour": "1.25",
        "from": "2026-10-20",
        "to": "2026-11-04",
    },
]
INVOICES = {
    "september.csv": invoice_csv(
        [("GPU server", "server-1", "72.00"), ("GPU server", "server-2", "144.01"), ("VAT", "", "7.00")],
        invoice="INV-9",
        period=("2026-09-01", "2026-10-01"),
        total="223.01",
    ),
    "october.csv": invoice_csv(
        [("GPU server", "server-1", "72.00")], invoice="INV-10", period=("2026-10-01", "2026-11-01"), total="71.00"
    ),
    "ahead.csv": invoice_csv(
        [("GPU server", "server-7", "9999.99")], invoice="INV-A", period=("2026-09-15", "2029-09-15")
    ),
}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Answers, dict[str, Any]]:
    """What was published, and what the second route makes of the same landing."""
    declared = [{"issuer": ACCOUNT, "currency": "USD", **machine} for machine in MACHINES]
    made = SmallProject(tmp_path_factory.mktemp("ended"), [source(INVOICE, ACCOUNT)], {"gpu_resources": declared})
    for name, content in INVOICES.items():
        made.drop(INVOICE, ACCOUNT, name, content)
    published = made.run()
    project = read_project(made.project.paths.root, as_of=NOW)
    first = date(2026, 9, 1)
    days = [first + timedelta(days=offset) for offset in range((NOW.date() - first).days + 1)]
    nothing = Seen(states={}, sightings={}, watched_ms={}, engine_names=set())
    figures = gpu_figures(project, nothing, [], days=days)
    return published, dict(zip(TABLES, (figures.costs, figures.leftovers, figures.reconciliation), strict=True))


@pytest.mark.parametrize("table", TABLES)
def test_both_routes_end_a_machine_on_the_same_days(both: tuple[Answers, dict[str, Any]], table: str) -> None:
    """B4, B12, B17: what is not billed where all is billed costs nothing; what no invoice has reached is accrued."""
    published, expected = both
    grain = yaml.safe_load((models_root() / "marts" / f"{table}.yml").read_text(encoding="utf-8"))["grain"]
    rows = published.rows(f"select * from {table}")
    assert not differences(published=rows, expected=expected[table], grain=tuple(grain), shown=30)


def test_a_machine_is_ended_from_the_first_invoice_without_it(both: tuple[Answers, dict[str, Any]]) -> None:
    """B17: since when, so that somebody gives it a `to`; not by what is paid ahead for another machine."""
    published, _ = both
    told = published.ask("leftovers", from_date=date(2026, 10, 15), to_date=date(2026, 12, 1)).to_dicts()
    assert [
        (row["resource_id"], row["since_date"], row["days_count"]) for row in told if row["kind"] == "no_longer_billed"
    ] == [("server-2", date(2026, 10, 1), 17), ("server-3", date(2026, 10, 20), 12)]
    accrued = published.rows(
        "select resource_id, min(usage_date) as first, max(usage_date) as last, count(*) as days "
        "from fct_gpu_costs_daily where cost_measure = 'accrued' group by 1 order by 1"
    )
    november = {"first": date(2026, 11, 1), "last": date(2026, 11, 4), "days": 4}
    assert accrued == [
        {"resource_id": "server-1", **november},
        {"resource_id": "server-2", **november},
        {"resource_id": "server-3", **november, "last": date(2026, 11, 3), "days": 3},
    ]
