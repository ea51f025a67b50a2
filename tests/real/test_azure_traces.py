"""One hour of two real services' requests: the demand view counts every token, and no verdict is made of one hour."""

from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction

import pytest

from pipeline.economics.hybrid import optimal_hybrid
from pipeline.economics.work import Capacity, Provenance, hourly_work_replica_seconds, replica_hour_work_seconds
from tests.pipeline.small_project import SPOOL, Answers, SmallProject, source
from tests.real.azure_traces import FOLDER, NAMES, load_trace, spool_file

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"needs the folder {FOLDER}")

DAY = date(2023, 11, 16)
NOW = datetime(2023, 11, 16, 20, tzinfo=UTC)
# Requests, tokens in, tokens out: the publisher's files, as the README beside them says.
FACTS = {"chat": (19_366, 22_361_870, 4_088_665), "code": (8_819, 18_059_974, 245_896)}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    capacity = {
        "prefill_tokens_per_second": "8000",
        "cached_tokens_per_second": "80000",
        "decode_tokens_per_second": "1200",
        "measured_on": "2023-11-01",
        "source": "assumed for this test",
    }
    sections = {
        "gpu_resources": [
            {
                "issuer": "lab",
                "resource_id": f"resource-{name}",
                "host": f"host-{name}",
                "gpu_count": 1,
                "contract_rate_per_gpu_hour": "2.69",
                "from": DAY.isoformat(),
            }
            for name in NAMES
        ],
        "deployments": [
            {
                "deployment": name,
                "model": name,
                "served_names": [name],
                "hosts": [f"host-{name}"],
                "gpus_per_replica": 1,
                "capacity": capacity,
            }
            for name in NAMES
        ],
        "workloads": [
            {"workload": name, "deployment": name, "match": [{"served_name": name}], "api_model": "gpt-4o-mini"}
            for name in NAMES
        ],
    }
    made = SmallProject(tmp_path_factory.mktemp("traces"), [source(SPOOL, "fleet")], sections)
    for name in NAMES:
        made.drop(SPOOL, "fleet", f"{name}.spool.jsonl", spool_file(load_trace(name)))
    return made.run(now=NOW)


@pytest.mark.parametrize("name", list(NAMES))
def test_the_demand_view_counts_every_token_of_the_trace(built: Answers, name: str) -> None:
    """B15, B16: counters become exactly the tokens that were asked and answered, by the hour and by the day."""
    requests, tokens_in, tokens_out = FACTS[name]
    assert len(load_trace(name).requests) == requests
    for table in ("fct_demand_hourly", "fct_demand_daily"):
        (row,) = built.rows(
            "select cast(sum(tokens) filter (where token_class like 'input%') as bigint) as tokens_in, "
            "cast(sum(tokens) filter (where token_class = 'output') as bigint) as tokens_out "
            f"from {table} where workload = '{name}' and usage_date = date '{DAY}'"
        )
        assert (row["tokens_in"], row["tokens_out"]) == (tokens_in, tokens_out)


@pytest.mark.parametrize("name", list(NAMES))
def test_no_verdict_is_made_of_57_minutes_and_the_missing_days_are_named(built: Answers, name: str) -> None:
    """B28: an hour of an open day is no month; the refusal says which days are not there."""
    (verdict,) = built.rows(f"select * from fct_verdicts_daily where workload = '{name}' and usage_date = '{DAY}'")
    assert verdict["status"] == "not_settled"
    assert verdict["reason"] == (
        "2023-11-16 is open, not settled; of the 28 days up to it none is settled: nothing landed for 2023-10-20 to "
        "2023-11-15"
    )
    figures = ("recommendation", "best_replica_count", "breakeven_first_tokens_per_day", "saving_rc_per_month")
    assert [verdict[figure] for figure in figures] == [None] * len(figures)
    assert built.rows("select * from fct_alert_states_daily where is_fired") == []


def hours_of(name: str) -> list[dict[str, int]]:
    """The trace's tokens by clock hour and class."""
    hours: dict[int, dict[str, int]] = {}
    for request in load_trace(name).requests:
        tokens = hours.setdefault(request.at.hour, {"input_uncached": 0, "output": 0})
        tokens["input_uncached"] += request.tokens_in
        tokens["output"] += request.tokens_out
    return [hours[hour] for hour in sorted(hours)]


@pytest.mark.parametrize("name", list(NAMES))
@pytest.mark.parametrize("rent", [Decimal("0.05"), Decimal("2.69"), Decimal(40)])
def test_the_economics_take_the_trace_as_demand(name: str, rent: Decimal) -> None:
    """The functions a verdict calls, on the trace's hours, beside the same cost written out for each replica count."""
    hours = hours_of(name)
    price = {"input_uncached": Fraction(15, 10**8), "output": Fraction(60, 10**8)}
    rates = {"input_uncached": Fraction(400), "output": Fraction(120)}
    capacity = Capacity(
        maximum_utilization_ratio=Decimal("0.85"),
        tokens_per_second_by_class=rates,
        provenance=Provenance(kind="declared", stated_on=DAY, source="assumed for this test"),
    )
    work = hourly_work_replica_seconds(hours=hours, capacity=capacity)
    api_only = sum((price[kind] * count for tokens in hours for kind, count in tokens.items()), Fraction(0))
    plan = optimal_hybrid(
        hourly_demand=work,
        capacity_per_replica_hour=replica_hour_work_seconds(capacity),
        replica_cost=rent * len(hours),
        fixed_cost=0,
        price_per_unit=api_only / sum(work),
        headroom_ratio=0,
    )

    by_hand = [sum((tokens[kind] / rates[kind] for kind in rates), Fraction(0)) for tokens in hours]
    cost = {
        count: count * Fraction(rent) * len(hours)
        + sum(max(seconds - count * 3600 * Fraction(85, 100), 0) for seconds in by_hand) * api_only / sum(by_hand)
        for count in range(60)
    }
    best = min(cost, key=lambda count: (cost[count], count))
    assert plan.best.replicas == best
    assert abs(Fraction(plan.best.total_cost) - cost[best]) < Fraction(1, 10**12)
    assert abs(Fraction(plan.all_api.total_cost) - api_only) < Fraction(1, 10**12)
    # A replica that costs more than the whole API bill never pays; one that costs next to nothing does.
    assert (best == 0) == (rent == 40) or rent == Decimal("2.69")
