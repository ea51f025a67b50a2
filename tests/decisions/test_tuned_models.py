"""A tuned model's hosting and training in a verdict: by hand, once from the marts and once through `explain`."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl
import pytest

from pipeline.build.relations import DateRange
from pipeline.build.runner import DaysOf
from pipeline.decisions import tuned_models, verdict_intervals, verdicts, window
from pipeline.decisions.window import evidence_on
from pipeline.explain.tuned_models import write_tuned
from pipeline.explain.verdict_arithmetic import write_out
from tests.decisions.test_contracts import contract
from tests.decisions.test_pins import SAID
from tests.decisions.test_verdict_rates import DAYS, LAST, Row, api_cost, gpu_cost, inputs_with, tables_with, verdict
from tests.explain.test_condition_arithmetic import inputs_of
from tests.explain.test_contract_arithmetic import recomputed

TRAINED = LAST - timedelta(days=60)


def charge(day: date, kind: str, amount: str | None, workload: str = "chat") -> Row:
    return {
        "usage_date": day,
        "workload": workload,
        "other_kind": kind,
        "account": "main",
        "charge_description": kind,
        "billing_currency": "USD",
        "billed_cost": Decimal(amount or 0),
        "billed_cost_rc": None if amount is None else Decimal(amount),
    }


def hosted(amount: str, days: Sequence[date] = DAYS) -> list[Row]:
    return [charge(day, "tuned_model_hosting", amount) for day in days]


TRAINING = [
    charge(LAST - timedelta(days=200), "fine_tune_training", "500"),
    charge(TRAINED, "fine_tune_training", "87"),
    charge(TRAINED + timedelta(days=1), "fine_tune_training", "13"),
]


def of_chat(per_day: str = "200", **said: Any) -> dict[str, Sequence[Row]]:
    """A million tokens at noon on the API, billed so much, and one own replica that stands idle at 48 a day."""
    [workload] = tables_with()["config_workloads"]
    return {
        "config_workloads": [{**workload, **dict.fromkeys(SAID), **said}],
        "fct_api_costs_daily": [
            {**api_cost(day), "billing_currency": "USD", "billed_cost_rc": Decimal(per_day)} for day in DAYS
        ],
        "fct_gpu_costs_daily": [{**gpu_cost(day), "billing_currency": "USD"} for day in DAYS],
    }


def _days_of(by_day: Mapping[date, Any]) -> DaysOf:
    def cut(wanted: DateRange) -> Mapping[date, Any]:
        return {day: found for day, found in by_day.items() if wanted.from_date <= day < wanted.to_date}

    return DaysOf(lambda: by_day, cut)


def told(charges: Sequence[Row], tables: Mapping[str, Sequence[Row]]) -> dict[str, Any] | None:
    """The node's row, from what the runner hands over."""
    prepared = inputs_with(**tables)
    frames: dict[str, Any] = {
        name: _days_of(found) if name in window.LOOKBACK else found for name, found in prepared.items()
    }
    schema = {
        "usage_date": pl.Date(),
        **dict.fromkeys(("workload", "other_kind", "account", "charge_description", "billing_currency"), pl.String()),
        **dict.fromkeys(("billed_cost", "billed_cost_rc"), pl.Decimal(38, 18)),
    }
    frames["fct_api_other_charges_daily"] = pl.DataFrame(list(charges), schema=schema, orient="row")
    frames["fct_verdicts_daily"] = verdicts.build(inputs_with(**tables))
    frames["this_partition"] = pl.DataFrame({"from_date": [date(2026, 11, 1)], "to_date": [date(2026, 12, 1)]})
    rows = tuned_models.build(frames).to_dicts()
    assert len(rows) <= 1
    return rows[0] if rows else None


def known(charges: Sequence[Row], tables: Mapping[str, Sequence[Row]]) -> dict[str, Any]:
    found = told(charges, tables)
    assert found is not None
    return found


def test_hosting_pays_the_replica_that_leaves_nothing_to_the_api() -> None:
    """A replica serves 306,000 of the million at noon for 1,344 over 28 days; all of it on the API is 5,600. Three
    replicas and 459.20 of API are 4,491.20, four 5,376. Hosting of 28 x 40 = 1,120 is due with three, not with four.
    """
    row = known(hosted("40"), of_chat())
    assert verdict(**of_chat())["best_cost_rc"] == Decimal("4491.2")
    assert (row["verdict_replica_count"], row["best_replica_count"], row["best_cost_rc"]) == (3, 4, 5376)
    assert (row["hosting_cost_rc"], row["api_only_cost_rc"], row["current_cost_rc"]) == (1120, 6720, 6720)
    # (1,344 - 1,120) / 0.0002 over 28 days, where it is 240,000 tokens a day without hosting.
    assert row["breakeven_first_tokens_per_day"] == 40_000
    assert verdict(**of_chat())["breakeven_first_tokens_per_day"] == 240_000
    assert row["saving_rc_per_month"] == (6720 - 5376) / 28 * 30
    assert row["reason"] == (
        "Hosting of its tuned model is 1,120.00 over the window, due while anything of it is on the API. With it 4 "
        "replicas are best, where without it 3 replicas would be."
    )
    # A little less of it, and it is not worth a replica.
    assert known(hosted("30"), of_chat())["best_replica_count"] == 3


def test_hosting_of_days_outside_the_window_is_not_of_the_window() -> None:
    earlier = [LAST - timedelta(days=back) for back in range(28, 40)]
    assert known(hosted("40", [*earlier, *DAYS]), of_chat())["hosting_cost_rc"] == 1120
    assert told(hosted("40", earlier), of_chat()) is None
    assert told([], of_chat()) is None
    assert told([charge(LAST, "tuned_model_hosting", "40", workload="mail")], of_chat()) is None


@pytest.mark.parametrize(("one_off", "whole"), [(None, 100), ("12000", 12_100)])
def test_a_move_pays_back_the_last_training_and_what_migration_says(one_off: str | None, whole: int) -> None:
    """87 and 13 on two days in a row; the 500 of half a year ago were another tuning. 1,440 a month are saved."""
    said = {} if one_off is None else {"migration_one_off_cost": Decimal(one_off), "migration_payback_months": 6}
    row = known([*hosted("40"), *TRAINING], of_chat(**said))
    assert (row["training_one_off_rc"], row["training_from_date"]) == (100, TRAINED)
    assert row["training_to_date"] == TRAINED + timedelta(days=1)
    assert (row["recommendation"], row["move_one_off_rc"]) == ("switch_to_self_host", whole)
    assert row["payback_months"] == round(Decimal(whole) / 1440, 18)
    assert f"{whole:,}.00 in all, is paid back in {whole / 1440:.1f} months." in row["reason"]


def test_training_alone_moves_no_figure_of_the_verdict() -> None:
    row, plain = known(TRAINING, of_chat()), verdict(**of_chat())
    assert row["hosting_cost_rc"] is None
    for column in ("best_replica_count", "best_cost_rc", "current_cost_rc", "saving_rc_per_month", "recommendation"):
        assert row[column] == plain[column], column
    assert row["breakeven_first_tokens_per_day"] == plain["breakeven_first_tokens_per_day"]


def test_what_stays_on_the_api_has_nothing_to_pay_back() -> None:
    row = known(TRAINING, of_chat("4"))
    assert (row["recommendation"], row["move_one_off_rc"], row["payback_months"]) == ("stay", None, None)


@pytest.mark.parametrize(
    ("charges", "tables", "why"),
    [
        ([charge(LAST, "tuned_model_hosting", None)], {}, "what is billed for its tuned model in USD is not converted"),
        (hosted("40"), {"config_contracts": [contract(commitment_cost=Decimal(60))]}, "It is under a commitment"),
        (hosted("40"), {"config_deployments": []}, "Its verdict is not decided: no deployment is declared for it"),
        ([*hosted("40"), charge(LAST, "tuned_model_hosting", "-2000")], {}, "More was given back for hosting than"),
        ([charge(TRAINED, "fine_tune_training", "-5")], {}, "More was given back for training than billed"),
    ],
)
def test_what_cannot_be_told_apart_is_unknown(
    charges: Sequence[Row], tables: Mapping[str, Sequence[Row]], why: str
) -> None:
    row = known(charges, {**of_chat(), **tables})
    assert (row["status"], row["recommendation"], row["best_replica_count"]) == ("unknown", None, None)
    assert why in row["reason"]


def sure(tables: Mapping[str, Sequence[Row]], charges: Sequence[Row]) -> dict[str, Any]:
    inputs = inputs_with(**tables)
    [workload], [deployment] = inputs["config_workloads"], inputs["config_deployments"]
    evidence, tuned = evidence_on(LAST, inputs), told(charges, tables)
    [row] = verdict_intervals._rows(
        [verdict_intervals._Asked(workload, deployment, verdict(**tables), evidence, inputs, tuned)]
    )
    return row


def test_a_verdict_that_hosting_turns_is_not_sure() -> None:
    """112 over the window stay on the API; with 28 x 200 of hosting four replicas cost less."""
    assert sure(of_chat("4"), [])["is_sure"] is True
    assert known(hosted("200"), of_chat("4"))["recommendation"] == "switch_to_self_host"
    assert sure(of_chat("4"), hosted("200"))["is_sure"] is False


def test_a_move_is_sure_only_where_it_pays_back_the_training_too() -> None:
    saving = Decimal(sure(of_chat(), [])["saving_p20_rc_per_month"])
    said = {"migration_one_off_cost": 6 * saving - 50, "migration_payback_months": 6}
    assert sure(of_chat(**said), [])["is_sure"] is True
    row = sure(of_chat(**said), TRAINING)
    assert (row["is_sure"], row["training_one_off_rc"]) == (False, 100)
    # A refund of an earlier tuning makes no move cheaper.
    row = sure(of_chat(**said), [charge(TRAINED, "fine_tune_training", "-5")])
    assert (row["is_sure"], row["training_one_off_rc"]) == (False, None)


@pytest.mark.parametrize(
    ("charges", "said"),
    [
        ([*hosted("40.37"), *TRAINING], {"migration_one_off_cost": Decimal(12_000), "migration_payback_months": 6}),
        (TRAINING, {}),
        (hosted("61.7"), {}),
        (hosted("0.07"), {"pinned_to": "api", "pin_reason": "residency"}),
    ],
)
def test_each_number_recomputes_from_what_explain_prints(charges: Sequence[Row], said: dict[str, Any]) -> None:
    tables = of_chat(**said)
    row = known(charges, tables)
    inputs = inputs_of(**tables_with(**tables))
    done = write_out(inputs)
    ordered = sorted(charges, key=lambda found: found["usage_date"])
    write_tuned(done, inputs, row, ordered)
    assert [found for found in done.equalities if not found.holds] == []
    steps = recomputed(done.lines)
    costs = [value for what, value in steps.items() if what.startswith("with hosting C(")]
    assert min(costs) == Fraction(row["best_cost_rc"])
    if row["payback_months"] is not None:
        months = steps["months until a move has paid back what it costs once"]
        assert round(months, 18) == Fraction(row["payback_months"])
    # A figure that is a little off is seen.
    off = write_out(inputs)
    write_tuned(off, inputs, {**row, "best_cost_rc": row["best_cost_rc"] + 1}, ordered)
    assert [found.claim for found in off.equalities if not found.holds] == [
        "with hosting, best_cost_rc: recomputed = published"
    ]
