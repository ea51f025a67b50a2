"""What changed since the month before: which days are compared, what is named instead of split, and that it sums."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.decisions.graph import current_snapshot
from pipeline.landing.project import Project
from pipeline.reports.bridge import EFFECT_SCHEMA, effect_rows, month_bridge, rounded_effects
from pipeline.reports.questions import Questions

from .fake_snapshot import OCTOBER, api_cost, gpu_cost, hours, snapshot_of, tables, unit_cost
from .reading import read, section, table
from .test_monthly import html, says

SEPTEMBER_DAY, OCTOBER_DAY = date(2026, 9, 20), date(2026, 10, 20)
CAPTION = "From September 2026 to October 2026"


def covered(account, month, days=30, source="anthropic_cost_api"):
    return [
        {
            "usage_date": date(2026, month, day),
            "source": source,
            "account": account,
            "dataset": "cost_report",
            "status": "settled",
            "is_blocked": False,
        }
        for day in range(1, days + 1)
    ]


ACCOUNTS = ("acme", "labs", "gpu-cloud", "basement")


def two_months(*, api=(), gpu=(), units=(), accounts=ACCOUNTS, **more):
    """Rows of both months; every account has bills of both unless said."""
    coverage = [row for account in accounts for month in (9, 10) for row in covered(account, month)]
    return {
        **tables(),
        "fct_api_costs_daily": list(api),
        "fct_gpu_costs_daily": list(gpu),
        "fct_unit_costs_daily": list(units),
        "fct_source_coverage_daily": coverage,
        **more,
    }


def found(tmp_path, filled, month=OCTOBER):
    with Questions(snapshot_of(filled, tmp_path)) as questions:
        return month_bridge(questions, first_day=month)


def effects(bridge):
    return {(row["lane"], row["effect"], row["group"]): row["change_cost_rc"] for row in effect_rows(bridge)}


def before(**changes):
    return {"usage_date": SEPTEMBER_DAY, **changes}


def test_the_report_says_right_after_its_headline_what_changed_and_its_columns_add_up_as_written(tmp_path):
    """A third of a cent on each of three lanes of effects: rounding one by one would lose a cent."""
    third = Decimal(1) / 3
    filled = two_months(
        api=[
            api_cost(**before(billed_cost=Decimal(30), tokens=30)),
            api_cost(**before(billed_cost=10 + third, tokens=10, model="claude-sonnet-4-6")),
            api_cost(billed_cost=Decimal("44.001"), tokens=40),
            api_cost(billed_cost=7 + third, tokens=7, model="claude-sonnet-4-6"),
        ],
        gpu=[
            gpu_cost(**before(realized_cost=Decimal("26.90"))),
            gpu_cost(realized_cost=Decimal("24.55")),
            gpu_cost(state="loaded_idle", realized_cost=Decimal("2.455"), gpu_milliseconds=hours(1)),
        ],
        units=[unit_cost(**before(tokens=7)), unit_cost(tokens=9)],
    )
    document = read(html(tmp_path, filled))
    anchors = [found.attributes["id"] for found in document.every("section")]
    assert anchors[:2] == ["headline", "changes"]
    rows = table(section(document, "changes"), CAPTION)
    for column in ("API USD", "GPUs USD", "Together USD"):
        amounts = [Decimal((row[column] or "0").replace("−", "-").replace(",", "")) for row in rows]
        assert amounts[0] + sum(amounts[1:-1]) == amounts[-1], column
    assert [row["What"] for row in rows] == [
        "September 2026",
        "Volume",
        "Mix",
        "GPU time a token",
        "GPU utilization",
        "Price",
        "October 2026",
    ]
    assert "of it volume" in says(document, "changes")
    assert document.every("svg")[0].attributes["id"] == "chart-changes"


@pytest.mark.parametrize("places", [0, 2])
def test_every_column_of_rounded_effects_sums_to_the_difference_of_its_rounded_costs(tmp_path, places):
    third = Decimal(1) / 3
    filled = two_months(
        api=[
            api_cost(**before(billed_cost=10 + third, tokens=30)),
            api_cost(**before(billed_cost=20 + third, tokens=30, model="m")),
            api_cost(billed_cost=44 + third, tokens=40),
            api_cost(billed_cost=7 + third, tokens=7, model="m"),
        ],
        gpu=[gpu_cost(**before(realized_cost=26 + third)), gpu_cost(realized_cost=Decimal("24.555"))],
        units=[unit_cost(**before(tokens=7)), unit_cost(tokens=9)],
    )
    bridge, unit = found(tmp_path, filled), 10**places
    columns = zip(*rounded_effects(bridge, places).values(), strict=True)
    for lane, column in zip((*bridge.lanes.values(), bridge), columns, strict=True):
        assert sum(column) == round(lane.after_cost * unit) - round(lane.before_cost * unit)


def test_a_dearer_model_is_mix_and_named_by_its_workload(tmp_path):
    filled = two_months(
        api=[
            api_cost(**before(billed_cost=Decimal(100), tokens=100)),
            api_cost(**before(billed_cost=Decimal(300), tokens=100, model="claude-opus-4-6")),
            api_cost(billed_cost=Decimal(50), tokens=50),
            api_cost(billed_cost=Decimal(450), tokens=150, model="claude-opus-4-6"),
        ]
    )
    assert effects(found(tmp_path, filled)) == {("api", "mix", "chat"): 100}


def test_what_is_billed_without_a_count_is_named_and_not_split(tmp_path):
    filled = two_months(
        api=[api_cost(**before(tokens=None, billed_cost=Decimal(3))), api_cost(tokens=None, billed_cost=Decimal(5))]
    )
    [row] = effect_rows(found(tmp_path, filled))
    assert (row["effect"], row["change_cost_rc"], row["reason"]) == ("unexplained", 2, "billed without a count")


@pytest.mark.parametrize(("accounts", "effect"), [(ACCOUNTS, "new"), (("acme",), "unexplained")])
def test_what_no_bill_is_known_of_is_not_called_new(tmp_path, accounts, effect):
    """labs has cost in October. Without a bill of its September nobody knows whether that is new."""
    filled = two_months(
        api=[api_cost(**before()), api_cost(), api_cost(account="labs", workload="lab", billed_cost=Decimal(4))],
        accounts=accounts,
    )
    assert effects(found(tmp_path, filled)) == {("api", effect, "lab"): 4}


def test_money_without_an_exchange_rate_is_in_neither_sum_and_its_line_is_not_split(tmp_path):
    filled = two_months(
        api=[
            api_cost(**before(billed_cost=Decimal(10))),
            api_cost(billed_cost=Decimal(12)),
            api_cost(billed_cost=Decimal(9), billed_cost_rc=None),
        ]
    )
    bridge = found(tmp_path, filled)
    assert (bridge.before_cost, bridge.after_cost) == (10, 12)
    [row] = effect_rows(bridge)
    assert (row["effect"], row["reason"]) == ("unexplained", "a part of it has no exchange rate")


def test_tax_of_a_bill_that_has_not_come_has_not_ended(tmp_path):
    """GPUs are accrued in October, as agreed; what its invoice will say beside them is unknown."""
    filled = two_months(
        gpu=[
            gpu_cost(**before()),
            gpu_cost(**before(state="tax", gpu_milliseconds=None, realized_cost=Decimal(5), deployment_id=None)),
            gpu_cost(cost_measure="accrued"),
        ],
        units=[unit_cost(**before()), unit_cost()],
    )
    bridge = found(tmp_path, filled)
    assert effects(bridge) == {("self_host", "unexplained", "gpu-cloud, tax"): -5}
    assert bridge.accrued == (0, Decimal("26.90"))


def test_gpus_whose_tokens_nobody_counted_are_told_by_their_hours(tmp_path):
    filled = two_months(
        gpu=[gpu_cost(**before()), gpu_cost(gpu_milliseconds=hours(20), realized_cost=Decimal(54))],
        units=[unit_cost(**before()), unit_cost(tokens=None)],
    )
    assert effects(found(tmp_path, filled)) == {
        ("self_host", "hours", "llama"): Decimal("26.90"),
        ("self_host", "price", "llama"): Decimal("0.20"),
    }


def test_of_a_month_that_is_not_over_settled_days_stand_against_as_many(tmp_path):
    statuses = [
        {"usage_date": date(2026, 10, day), "status": "settled" if day < 21 else "open", "blocked_count": 0}
        for day in range(1, 23)
    ]
    filled = two_months(
        api=[
            *(api_cost(usage_date=date(2026, 9, day), billed_cost=Decimal(1)) for day in range(1, 31)),
            *(api_cost(usage_date=date(2026, 10, day), billed_cost=Decimal(1)) for day in range(1, 23)),
        ],
        fct_day_status_daily=statuses,
    )
    bridge = found(tmp_path, filled)
    assert (bridge.before.in_words(), bridge.after.in_words()) == ("1 to 20 Sep 2026", "1 to 20 Oct 2026")
    assert (bridge.before_cost, bridge.after_cost) == (20, 20)
    assert bridge.notes == ()


def test_a_day_between_settled_ones_that_is_not_is_named_where_it_is_compared(tmp_path):
    statuses = [
        {"usage_date": date(2026, month, day), "status": status, "blocked_count": 0}
        for month, holes in ((9, {4: "missing"}), (10, {7: "provisional", 8: "missing", 21: "open"}))
        for day in range(1, 22)
        for status in [holes.get(day, "settled")]
    ]
    filled = two_months(
        api=[api_cost(usage_date=date(2026, month, 3), billed_cost=Decimal(1)) for month in (9, 10)],
        fct_day_status_daily=statuses,
    )
    assert found(tmp_path, filled).notes == (
        "Of 1 to 20 Sep 2026 1 day is not settled: what is known is compared as it stands.",
        "Of 1 to 20 Oct 2026 2 days are not settled: what is known is compared as it stands.",
    )


def test_two_whole_months_of_other_lengths_say_so(tmp_path):
    filled = two_months(api=[api_cost(**before()), api_cost()])
    assert found(tmp_path, filled).notes == ("Volume holds the days too: 31 against 30.",)


def test_a_month_with_nothing_before_it_says_that_nothing_is_compared(tmp_path):
    document = read(html(tmp_path))
    assert says(document, "changes") == "No cost of September 2026 is in this snapshot: nothing is compared."


def hosted(day, cost, tokens=10, **changes):
    """A model's tokens on a cloud's bill."""
    amount = None if cost is None else Decimal(cost)
    return {
        "usage_date": day, "issuer": "aws", "account": "aws", "model": "Opus", "token_class": "output",
        "billing_currency": "USD", "tokens": tokens, "billed_cost": amount, "billed_cost_rc": amount, **changes,
    }  # fmt: skip


def per_use(day, cost, **changes):
    """What a service billed by use cost on a cloud's bill."""
    amount = None if cost is None else Decimal(cost)
    return {
        "usage_date": day, "lane": "cloud_per_use", "issuer": "modal", "account": "modal", "cost_measure": "billed",
        "billing_currency": "USD", "realized_cost": amount, "realized_cost_rc": amount, **changes,
    }  # fmt: skip


CLOUDS = (*ACCOUNTS, "aws", "modal")


def test_models_that_clouds_host_have_effects_of_their_own_and_are_in_the_change(tmp_path):
    """By hand: 20 tokens for $8, then 30 for $15: 10 more at $0.40, and $0.10 more for each of 30."""
    filled = two_months(
        api=[api_cost(**before(billed_cost=Decimal(30))), api_cost(billed_cost=Decimal(44))],
        fct_cloud_model_costs_daily=[
            hosted(SEPTEMBER_DAY, 8, 20), hosted(OCTOBER_DAY, 15, 30),
            hosted(OCTOBER_DAY, 2, None, token_class=None, model="Guardrail"),
        ],
        fct_owner_costs_daily=[per_use(SEPTEMBER_DAY, 7), per_use(OCTOBER_DAY, 3)],
        accounts=CLOUDS,
    )  # fmt: skip
    bridge = found(tmp_path / "found", filled)
    told = {(row["lane"], row["effect"], row["group"]): row["change_cost_rc"] for row in effect_rows(bridge)
            if row["lane"] != "api"}  # fmt: skip
    assert told == {
        ("cloud_model", "volume", "hosted models on aws"): 4, ("cloud_model", "price", "hosted models on aws"): 3,
        ("cloud_model", "other", "hosted models on aws, other"): 2,
        ("cloud_per_use", "other", "services billed by use on modal"): -4,
    }  # fmt: skip
    document = read(html(tmp_path / "page", filled))
    assert says(document, "changes").startswith("October 2026 cost $64.00, $19.00")
    rows = {row["What"]: row for row in table(section(document, "changes"), CAPTION)}
    assert rows["October 2026"]["Hosted models USD"] == "17.00"
    assert rows["September 2026"]["Billed by use USD"] == "7.00"


def test_a_model_that_a_cloud_hosts_alone_is_compared(tmp_path):
    alone = {"fct_cloud_model_costs_daily": [hosted(SEPTEMBER_DAY, 8), hosted(OCTOBER_DAY, 9)]}
    assert found(tmp_path, two_months(**alone, accounts=CLOUDS)).of("price") == 1


def test_a_month_that_only_takes_tokens_back_is_not_compared_and_stops_no_report(tmp_path):
    """A correction of September's use stands on October's bill."""
    given_back = {"fct_cloud_model_costs_daily": [hosted(SEPTEMBER_DAY, 8), hosted(OCTOBER_DAY, -2, -5)]}
    bridge = found(tmp_path, two_months(**given_back, accounts=CLOUDS))
    told = [row for row in effect_rows(bridge) if row["lane"] == "cloud_model"]
    assert [(row["effect"], row["reason"]) for row in told] == [
        ("unexplained", "more of it was given back than was used")
    ]
    assert bridge.of("unexplained") == -10


def test_what_a_cloud_bills_with_an_amount_that_nobody_knows_is_not_compared(tmp_path):
    """Of $8 and of an amount unknown, then of $9: nobody knows whether it is more, and it says so."""
    bridge = found(
        tmp_path,
        two_months(
            fct_cloud_model_costs_daily=[
                hosted(SEPTEMBER_DAY, 8), hosted(SEPTEMBER_DAY, None), hosted(OCTOBER_DAY, 9),
            ],
            fct_owner_costs_daily=[per_use(SEPTEMBER_DAY, None), per_use(OCTOBER_DAY, 2)],
            accounts=CLOUDS,
        ),
    )  # fmt: skip
    told = [row for row in effect_rows(bridge) if row["lane"] in ("cloud_model", "cloud_per_use")]
    assert [(row["lane"], row["effect"], row["reason"]) for row in told] == [
        ("cloud_model", "unexplained", "a part of it has no amount"),
        ("cloud_per_use", "unexplained", "a part of it has no amount"),
    ]


AMOUNTS = st.integers(-(10**6), 10**6).map(lambda units: Decimal(units).scaleb(-3))
HOSTED_ROWS = st.lists(
    st.builds(
        lambda day, cost, tokens, token_class, account, currency, is_converted: hosted(
            day, cost, tokens if token_class else None, token_class=token_class, account=account,
            billing_currency=currency, billed_cost_rc=cost if is_converted else None,
        ),
        st.sampled_from([SEPTEMBER_DAY, OCTOBER_DAY]), AMOUNTS | st.none(), st.integers(0, 99) | st.none(),
        st.sampled_from(["output", "input_uncached", None]), st.sampled_from(["aws", "azure"]),
        st.sampled_from(["USD", "EUR"]), st.booleans(),
    ),
    max_size=8,
)  # fmt: skip
PER_USE_ROWS = st.lists(
    st.builds(
        lambda day, cost, measure: per_use(day, cost, cost_measure=measure),
        st.sampled_from([SEPTEMBER_DAY, OCTOBER_DAY]), AMOUNTS | st.none(), st.sampled_from(["billed", "effective"]),
    ),
    max_size=4,
)  # fmt: skip


@settings(max_examples=8, deadline=None)
@given(models=HOSTED_ROWS, services=PER_USE_ROWS, is_known=st.booleans())
def test_each_lane_ends_at_what_the_headline_says_and_its_effects_sum_to_the_change(
    tmp_path_factory, models, services, is_known
):
    """Whatever is unknown: an amount, a count, a rate, a bill of the month before."""
    filled = two_months(
        api=[api_cost(**before()), api_cost()],
        fct_cloud_model_costs_daily=models,
        fct_owner_costs_daily=services,
        accounts=(*CLOUDS, "azure") if is_known else ACCOUNTS,
    )
    with Questions(snapshot_of(filled, tmp_path_factory.mktemp("any"))) as questions:
        bridge = month_bridge(questions, first_day=OCTOBER)
        for days, which in ((bridge.before, "before_cost"), (bridge.after, "after_cost")):
            said = {}
            for row in questions.ask("headline", from_date=days.from_date, to_date=days.to_date).to_dicts():
                said[row["lane"]] = said.get(row["lane"], 0) + (row["realized_cost_rc"] or 0)
            ends = {lane: getattr(one, which) for lane, one in bridge.lanes.items()}
            assert {lane: cost for lane, cost in ends.items() if cost} == {
                lane: cost for lane, cost in said.items() if cost
            }
    for lane, one in bridge.lanes.items():
        told = sum(row["change_cost_rc"] for row in effect_rows(bridge) if row["lane"] == lane)
        assert told == one.after_cost - one.before_cost


def test_the_demo_is_bridged_from_and_to_what_its_marts_say(demo_folder):
    """By another route: the marts' own sums over the same days, to the last digit."""
    with Questions(current_snapshot(Project(demo_folder))) as questions:
        bridge = month_bridge(questions, first_day=date(2026, 11, 1))
        sums = []
        for days in (bridge.before, bridge.after):
            frame = questions.select(
                "select (select sum(billed_cost_rc) from fct_api_costs_daily "
                "where usage_date >= $from_date and usage_date < $to_date), (select sum(realized_cost_rc) "
                "from fct_gpu_costs_daily where usage_date >= $from_date and usage_date < $to_date)",
                {"from_date": days.from_date, "to_date": days.to_date},
            )
            sums.append(sum(frame.row(0)))
    assert (bridge.before.from_date, bridge.before.count) == (date(2026, 10, 1), 14)
    assert [bridge.before_cost, bridge.after_cost] == sums
    rows = effect_rows(bridge)
    assert sum(row["change_cost_rc"] for row in rows) == sums[1] - sums[0]
    assert all(set(row) == set(EFFECT_SCHEMA) for row in rows)
    assert {row["effect"] for row in rows} >= {"volume", "mix", "utilization", "hours", "price", "fx", "unexplained"}
