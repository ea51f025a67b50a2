"""A month of 1,000 workloads and 10,000 GPUs: report, PDF, workbook and explorer in seconds, under 5 MB each."""

import time
from datetime import date, timedelta

import polars as pl
import pytest

from pipeline.reports.explore import explore_page
from pipeline.reports.monthly import report_page
from pipeline.reports.page import render
from pipeline.reports.pdf import as_pdf
from pipeline.reports.questions import Questions
from pipeline.reports.sheets import sheets_of
from pipeline.reports.tabular import as_xlsx

from .fake_snapshot import AS_OF, OCTOBER, SCHEMAS, config, snapshot_of, tables, verdict

DAYS = [OCTOBER + timedelta(days=number) for number in range(31)]
MOST_BYTES = 5_000_000
MOST_SECONDS = 60


def made(folder):
    filled = {
        **tables(),
        "fct_verdicts_daily": [
            verdict(workload=f"w{number}", team=f"t{number % 50}", deployment_id=f"d{number % 400}", usage_date=day)
            for number in range(1000)
            for day in DAYS[-20:]
        ],
        # A part that says it has no rows is not read.
        "fct_gpu_waste_daily": [{}],
        "fct_owner_costs_daily": [{}],
    }
    snapshot = snapshot_of(filled, folder)
    days = pl.DataFrame({"usage_date": DAYS})
    api = (
        pl.DataFrame({"number": range(1000)})
        .with_columns(
            workload=pl.format("w{}", "number"),
            team=pl.format("t{}", pl.col("number") % 50),
            account=pl.format("a{}", pl.col("number") % 20),
            model=pl.format("m{}", pl.col("number") % 30),
        )
        .join(days, how="cross")
        .with_columns(tokens=pl.lit(1_000_000), billed_cost=pl.lit(1.23), billed_cost_rc=pl.lit(1.23))
        .with_columns(
            pl.lit(text).alias(column)
            for column, text in {
                "provider": "p", "issuer": "p", "charge_kind": "tokens", "attribution": "direct",
                "token_class": "output", "billing_currency": "USD", "price_status": "unpriced",
            }.items()
        )
    )  # fmt: skip
    gpus = (
        pl.DataFrame({"number": range(10_000)})
        .with_columns(
            resource_id=pl.format("i-{}", "number"),
            deployment_id=pl.format("d{}", pl.col("number") % 400),
            issuer=pl.format("cloud{}", pl.col("number") % 5),
            account=pl.format("cloud{}", pl.col("number") % 5),
            cost_measure=pl.lit("billed"),
            billing_currency=pl.lit("USD"),
        )
        .join(days, how="cross")
        .join(pl.DataFrame({"state": ["serving", "loaded_idle", "unobserved"]}), how="cross")
        .with_columns(gpu_milliseconds=pl.lit(28_800_000), realized_cost=pl.lit(20.0), realized_cost_rc=pl.lit(20.0))
    )
    summed = [pl.col(column).sum() for column in ("gpu_milliseconds", "realized_cost", "realized_cost_rc")]
    owned = ("usage_date", "issuer", "account", "deployment_id", "cost_measure", "billing_currency")
    for name, frame in {
        "fct_api_costs_daily": api,
        "fct_gpu_costs_daily": gpus,
        "fct_gpu_waste_daily": gpus.group_by(*owned, pl.col("state").alias("line")).agg(summed),
        "fct_owner_costs_daily": pl.concat(
            [
                gpus.group_by(*owned).agg(summed).with_columns(lane=pl.lit("gpu")),
                api.group_by("usage_date", "issuer", "account", "workload", "team", "billing_currency")
                .agg(realized_cost=pl.col("billed_cost").sum(), realized_cost_rc=pl.col("billed_cost_rc").sum())
                .with_columns(lane=pl.lit("api"), cost_measure=pl.lit("billed")),
            ],
            how="diagonal",
        ),
    }.items():
        columns = [
            pl.col(column).cast(kind) if column in frame.columns else pl.lit(None, dtype=kind).alias(column)
            for column, kind in SCHEMAS[name].items()
        ]
        frame.select(columns).write_parquet(folder / "nodes" / name / "whole.parquet")
    return snapshot


@pytest.mark.soak
def test_a_month_of_a_thousand_workloads_and_ten_thousand_gpus_is_seconds_and_under_five_megabytes(tmp_path):
    snapshot = made(tmp_path)
    begun = time.process_time()
    page = report_page(snapshot, config=config(), quarantined=(), first_day=OCTOBER)
    files = {"html": render(page).encode(), "xlsx": as_xlsx(sheets_of(page), title="LLM costs", as_of=AS_OF)}
    files["pdf"] = as_pdf(page, snapshot_id=snapshot.snapshot_id, as_of=AS_OF)
    with Questions(snapshot) as questions:
        explored = explore_page(
            questions, snapshot, config=config(), from_date=date(2026, 8, 3), to_date=date(2026, 11, 1)
        )
    files["explorer"] = explored.encode()
    assert time.process_time() - begun < MOST_SECONDS
    assert {name: len(content) for name, content in files.items() if len(content) > MOST_BYTES} == {}
    assert "w999" in files["html"].decode()
    assert '"801 other"' in explored
