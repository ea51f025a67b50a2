"""`breakeven whatif` as a person calls it: what it prints, what its JSON carries, and what it says to a slip."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pipeline.cli import group
from pipeline.errors import BreakevenError


def whatif(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(group, ["whatif", *arguments, "--project", str(folder)])


def as_json(folder: Path, *arguments: str) -> dict[str, Any]:
    result = whatif(folder, *arguments, "--format", "json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.output)
    return found


def test_a_cheaper_api_flips_what_it_flips_and_says_why(demo_folder: Path) -> None:
    found = as_json(demo_folder, "--price", "-30%")
    assert found["flips"] == ["support-chat"]
    assert found["supposed"] == {"api_prices": {"every class": {"times": "7/10"}}}
    [chat] = [one for one in found["workloads"] if one["workload"] == "support-chat"]
    assert (chat["before"]["recommendation"], chat["after"]["recommendation"]) == ("fill", "switch_to_api")
    printed = whatif(demo_folder, "--price", "-30%").output
    assert "FLIPS support-chat: fill, 1 replica -> switch_to_api, 0 replicas. Replica 1 would displace" in printed


def test_how_long_replicas_pay_while_api_prices_fall(demo_folder: Path) -> None:
    steady, steep = (as_json(demo_folder, "--price-fall", fall)["price_falls"] for fall in ("0%", "99%"))
    assert [one["workload"] for one in steady] == [one["workload"] for one in steep] != []
    assert {one["saves_months"] for one in steady} == {None}
    assert all(1 <= one["saves_months"] <= 12 for one in steep)
    assert all(Decimal(one["self_host_cost_rc_per_month"]) < Decimal(one["api_cost_rc_per_month"]) for one in steady)
    printed = whatif(demo_folder, "--price-fall", "99%").output
    assert "While API prices fall by 99% a year:" in printed
    assert f"  {steep[0]['workload']}: {steep[0]['replicas']} replica" in printed
    assert as_json(demo_folder, "--price", "-30%")["price_falls"] is None


def test_prices_of_another_day_are_asked_for_by_day(demo_folder: Path) -> None:
    found = as_json(demo_folder, "--prices-as-of", "2026-11-14")
    assert found["flips"] == []
    assert "Nothing flips." in whatif(demo_folder, "--prices-as-of", "2027-01-01").output


def test_the_bill_of_a_month_ties_and_its_json_carries_every_line(demo_folder: Path) -> None:
    found = as_json(demo_folder, "support-chat", "--month", "2026-10")["bill"]
    assert found["is_equal_to_the_bills"] is True
    assert [line["replicas"] for line in found["counted"]] == [0, 1]
    assert all(bill["stated_cost"] == bill["told_cost"] for bill in found["bills"])
    printed = whatif(demo_folder, "support-chat", "--month", "2026-10").output
    assert "As it was: $28,950.12, equal to the lines of the 8 bills below, to the last cent." in printed


def test_offers_are_compared_cheapest_first(demo_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "offers.yaml"
    file.write_text("offers: [{offer: cheap, kind: on_demand, gpu_hour: 0.1}]", encoding="utf-8")
    found = as_json(demo_folder, "support-chat", "--month", "2026-10", "--offers", str(file))["offers"]
    assert [one["name"] for one in found["offers"]] == ["cheap", "API as it is", "GPUs at today's rate"]
    assert "unknown" in found["remarks"][0]
    assert "cheap" in whatif(demo_folder, "support-chat", "--offers", str(file)).output


@pytest.mark.parametrize(
    "arguments",
    [
        ["--gpu-hour", "9" * 5000],
        ["--gpu-hour", "+" + "9" * 5000 + "%"],
        ["--volume", "x" + "9" * 5000],
        ["--price", "output=" + "9" * 5000],
        ["--mix", "output=0." + "9" * 5000],
        ["--tokens-per-second", "9" * 5000],
        ["--price-fall", "9" * 5000 + "%"],
        ["--price-fall", "100%"],
        ["--price-fall", "-3%"],
    ],
)
def test_a_number_of_thousands_of_digits_is_no_number(tmp_path: Path, arguments: list[str]) -> None:
    result = whatif(tmp_path, *arguments)
    assert result.exit_code == 2
    assert isinstance(result.exception, SystemExit)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Suppose something, like --price -20%, or name a workload"),
        (["--price", "12"], "names no token class: prices are per class, as output=12"),
        (["--price", "cheap"], "write -20%, x0.8, output=12 or output=-20%"),
        (["--price", "-120%"], "is no price"),
        (["--volume", "3"], "is no change of a volume: write x2, +50% or -20%"),
        (["--gpu-hour", "a lot"], "neither an amount (2.10) nor a change"),
        (["--mix", "output=0.5"], "The shares add up to 0.5, not to 1"),
        (["--mix", "output"], "is no share: write output=0.3"),
        (["--movable-share", "1.5"], "1.5 is more than all of it"),
        (["--prices-as-of", "soon"], "'soon' is not a date like 2026-11-01"),
        (["support-chat", "--month", "October"], "'October' is not a month like 2026-10"),
        (["support-chat", "--month", "9999-12"], "'9999-12' is not a month like 2026-10"),
        (["--price", "-1%", "--offers", "nowhere.yaml"], "Offers are compared for one workload"),
    ],
)
def test_a_slip_is_told_what_to_write_instead(demo_folder: Path, arguments: list[str], said: str) -> None:
    result = whatif(demo_folder, *arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())


def test_a_workload_that_is_none_is_told_which_there_are(demo_folder: Path) -> None:
    result = whatif(demo_folder, "suport-chat", "--volume", "x2")
    assert isinstance(result.exception, BreakevenError)
    assert "No workload 'suport-chat' on 2026-11-14. Declared then: coding-assistant, document-batch" in str(
        result.exception
    )
