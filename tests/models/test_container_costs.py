"""What AWS's split cost allocation data says of servers: a table that sums to the servers and adds to nothing."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.build.runner import Model
from pipeline.cli import group
from pipeline.sources import aws_cur2
from tests.models.cloud_harness import broken, cloud_graph
from tests.pipeline.small_project import Answers
from tests.sources import cur2
from tests.sources.cur2 import FIRST, NAME, NOW, FolderPlace, Line, company, line, parquet, refresh, usage

MART = "fct_container_costs_daily"
STAGED = "stg_aws_cur2__container_costs_daily"
CHECK = "check_cloud_containers_conserved"
SERVER = str(cur2.LINE["line_item_resource_id"])
TAGS = {
    "aws_eks_cluster_name": "prod", "aws_eks_namespace": "search", "aws_eks_workload_type": "Deployment",
    "aws_eks_workload_name": "ranker",
}  # fmt: skip


FIRST_HOUR = datetime(2026, 10, 2, tzinfo=UTC)


def hour(number: int) -> dict[str, str]:
    """The start and end of an hour of 2 October, or of the days after it."""
    at = FIRST_HOUR + timedelta(hours=number)
    return {
        "line_item_usage_start_date": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        "line_item_usage_end_date": f"{at + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}",
    }


def server(cost: float | None, number: int = 3, **fields: Any) -> dict[str, Any]:
    return line(cost, **hour(number), split_line_item_parent_resource_id=None, **fields)


def pod(
    name: str, used: float | None, unused: float | None, number: int = 3, *, tags: Any = None, **fields: Any
) -> dict[str, Any]:
    """A line of the split: it charges nothing itself."""
    said = {
        "line_item_product_code": "AmazonEKS",
        "line_item_operation": "EKSPod-EC2",
        "line_item_usage_type": "USE1-EKS-EC2-vCPU-Hours",
        "line_item_resource_id": f"arn:aws:eks:us-east-1:444455556666:pod/{name}",
        "split_line_item_parent_resource_id": SERVER,
        "split_line_item_split_cost": used,
        "split_line_item_unused_cost": unused,
        "resource_tags": TAGS if tags is None else tags,
    }
    return line(None, **hour(number), **{**said, **fields})


def built(folder: Path, lines: Sequence[Line], *, replaced: Sequence[Model] = (), **sections: Any) -> Answers:
    refresh(FolderPlace(folder / NAME), [parquet(lines)], at=FIRST)
    acme = company(folder, NAME)
    if sections:
        acme.small.configure(**sections)
    assert acme.fetch().error is None
    graph = cloud_graph([MART, CHECK, "fct_cloud_charges_daily"], replaced=replaced)
    return acme.small.build(now=NOW, graph=graph)


def rows(answers: Answers) -> list[dict[str, Any]]:
    return answers.rows(f"select * from {MART} order by all")


def laws(answers: Answers) -> list[str]:
    return [f"{row['scope']}: {row['detail']}" for row in answers.rows(f"select * from {CHECK} order by all")]


def test_a_servers_cost_is_that_of_its_pods_and_no_total_knows_of_them(tmp_path: Path) -> None:
    """Case 24: used and unused parts come to the $10 of their server; every charge is what it was. B9."""
    pods = [
        pod("a", 4.0358744394, 1.5), pod("b", 3.2286995516, 0.25, tags={**TAGS, "aws_eks_namespace": "chat"}),
        pod("c", 0.5, 0.485426009, tags={}),
    ]  # fmt: skip
    answers = built(tmp_path / "on", [server(10.0), *pods])
    charges = "select * exclude (line_count) from fct_cloud_charges_daily order by all"
    assert answers.rows(charges) == built(tmp_path / "off", [server(10.0)]).rows(charges)
    found = rows(answers)
    by_namespace = [
        (row["part"], row["namespace"], row["split_cost"], row["unused_cost"], row["effective_cost"]) for row in found
    ]
    assert sorted(by_namespace, key=str) == sorted([
        ("container", "search", Decimal("4.0358744394"), Decimal("1.5"), Decimal("5.5358744394")),
        ("container", "chat", Decimal("3.2286995516"), Decimal("0.25"), Decimal("3.4786995516")),
        ("container", None, Decimal("0.5"), Decimal("0.485426009"), Decimal("0.985426009")),
        ("rounding", None, None, None, Decimal(0)),
    ], key=str)  # fmt: skip
    assert {(row["resource_id"], row["issuer"], row["is_book"]) for row in found} == {(SERVER, "aws", True)}
    assert {row["workload"] for row in found} == {"ranker", None}
    assert laws(answers) == []


def test_ten_digits_that_do_not_come_to_the_whole_leave_a_rounding_line(tmp_path: Path) -> None:
    """Case 25's parts, each rounded by itself, are 10^-10 more than the $10."""
    parts = [4.0358744395, 3.2286995516, 2.7354260090]
    answers = built(tmp_path, [server(10.0), *(pod(f"{part}", part, 0.0) for part in parts)])
    (rounding,) = (row for row in rows(answers) if row["part"] == "rounding")
    assert rounding["effective_cost"] == Decimal("-0.0000000001")
    assert laws(answers) == []


@pytest.mark.parametrize("meter", ["DedicatedUsage:g6.xlarge", "USE1-UnusedDed:g6.xlarge", "DedicatedRes:g6.xlarge"])
def test_a_server_on_hardware_of_its_own_is_split_like_any(tmp_path: Path, meter: str) -> None:
    answers = built(tmp_path, [server(10.0, line_item_usage_type=meter), pod("a", 7.5, 2.5)])
    assert [(row["part"], row["effective_cost"]) for row in rows(answers)] == [("container", 10), ("rounding", 0)]
    assert laws(answers) == []


def test_hours_without_a_container_are_outside_the_view_and_hours_without_a_server_are_unknown(tmp_path: Path) -> None:
    """A node costs before its first pod; a pod whose server is on no line has a cost that nothing is compared with."""
    lines = [server(10.0, 3), server(10.0, 4), pod("a", 8.0, 2.0, 4), pod("a", 1.0, 1.0, 5)]
    answers = built(tmp_path, lines)
    found = {row["part"]: row["effective_cost"] for row in rows(answers) if row["part"] != "container"}
    assert found == {"outside_view": 10, "rounding": 0, "unbilled": None}
    assert laws(answers) == []


def test_a_server_under_a_plan_is_split_at_what_the_plan_makes_of_it(tmp_path: Path) -> None:
    """AWS splits amortized cost (user guide, split cost allocation data), without disks and network."""
    plan = {"savings_plan_savings_plan_a_r_n": "arn:plan", "savings_plan_savings_plan_effective_cost": 6.0}
    lines = [
        usage("SavingsPlanCoveredUsage", 10.0, **hour(3), **plan),
        line(0.0, **hour(3), line_item_usage_type="EBSOptimized:g6.xlarge"),
        line(3.0, **hour(3), line_item_usage_type="USE1-DataTransfer-Out-Bytes"),
        pod("a", 5.0, 1.0),
    ]
    answers = built(tmp_path, lines)
    assert {row["part"]: row["effective_cost"] for row in rows(answers)} == {"container": 6, "rounding": 0}
    assert laws(answers) == []


def test_an_export_by_the_day_cannot_tell_which_hours_had_no_container(tmp_path: Path) -> None:
    day = {"line_item_usage_start_date": "2026-10-02T00:00:00Z", "line_item_usage_end_date": "2026-10-03T00:00:00Z"}
    answers = built(tmp_path, [line(240.0, **day), {**pod("a", 90.0, 10.0), **day}])
    assert {row["part"]: row["effective_cost"] for row in rows(answers)} == {"container": 100, "outside_view": 140}
    assert laws(answers) == []


def test_a_container_whose_unused_part_no_line_states_is_unknown_and_breaks_no_law(tmp_path: Path) -> None:
    """Whoever writes the export's query chooses its columns."""
    answers = built(tmp_path, [server(10.0), pod("a", 8.0, None), pod("b", 1.0, 1.0)])
    found = {(row["part"], row["container_id"] or ""): row["effective_cost"] for row in rows(answers)}
    assert sorted(found.values(), key=str) == [Decimal(2), None, None]
    assert laws(answers) == []


@pytest.mark.parametrize(
    ("pods", "said"),
    [
        ([pod("a", 8.0, 2.0), pod("b", 8.0, 2.0)], "leave -10.000000000000000000 USD"),
        ([pod("a", 8.0, 1.0)], "leave 1.000000000000000000 USD"),
    ],
    ids=["twice", "short"],
)
def test_a_view_that_is_not_its_server_breaks_the_law_of_that_server_alone(
    tmp_path: Path, pods: list[Line], said: str
) -> None:
    (law,) = laws(built(tmp_path, [server(10.0), *pods]))
    assert law.startswith(f"server:{SERVER}: 2026-10-02: in hours that AWS splits")
    assert said in law


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("lines.server_id is null", "true"),
        ("then lines.savings_plan_savings_plan_effective_cost", "then lines.line_item_unblended_cost"),
        ("and regexp_matches(lines.line_item_usage_type", "and not regexp_matches(lines.line_item_usage_type"),
    ],
)
def test_a_server_that_is_not_what_its_charges_are_breaks_the_law(tmp_path: Path, old: str, new: str) -> None:
    plan = {"savings_plan_savings_plan_a_r_n": "arn:plan", "savings_plan_savings_plan_effective_cost": 6.0}
    lines = [
        usage("SavingsPlanCoveredUsage", 10.0, **hour(3), **plan),
        line(3.0, **hour(3), line_item_usage_type="USE1-DataTransfer-Out-Bytes"),
        pod("a", 5.0, 1.0),
        # A container by the name of its server would count as the server's own, at no known cost.
        pod("b", 0.0, 0.0, line_item_resource_id=SERVER, line_item_usage_type="BoxUsage"),
    ]
    assert laws(built(tmp_path / "right", lines)) == []
    answers = built(tmp_path / "wrong", lines, replaced=[broken(STAGED, old, new)])
    assert any("cost" in law for law in laws(answers))


_COSTS = st.integers(0, 10**12).map(lambda quanta: quanta / 10**10)


@settings(max_examples=6)
@given(
    hours=st.lists(
        st.tuples(
            st.integers(0, 40),
            st.one_of(st.none(), _COSTS),
            st.lists(st.tuples(st.sampled_from("abc"), _COSTS, _COSTS), max_size=3),
        ),
        min_size=1,
        max_size=5,
        unique_by=lambda one: one[0],
    )
)
def test_all_parts_of_a_server_are_its_cost_whatever_its_pods_say(tmp_path_factory: Any, hours: Any) -> None:
    """Of days on which every hour is billed; and what containers say is kept to the last digit."""
    lines = [server(cost, number) for number, cost, _ in hours if cost is not None]
    pods = [pod(name, used, unused, number) for number, _, of in hours for name, used, unused in of]
    found = rows(built(tmp_path_factory.mktemp("any"), [tax_free(), *lines, *pods]))

    def summed(amounts: Any) -> Decimal:
        return sum((Decimal(str(amount)) for amount in amounts), Decimal(0))

    for column, place in (("split_cost", 1), ("unused_cost", 2)):
        told = sum((row[column] for row in found if row["part"] == "container"), Decimal(0))
        assert told == summed(one[place] for _, _, of in hours for one in of)
    for day in {row["usage_date"] for row in found}:
        of_day = [one for one in hours if (FIRST_HOUR + timedelta(hours=one[0])).date() == day]
        parts = [row["effective_cost"] for row in found if row["usage_date"] == day]
        if any(cost is None and of for _, cost, of in of_day):
            assert None in parts
        elif any(of for _, _, of in hours):
            assert sum(parts, Decimal(0)) == summed(cost for _, cost, _ in of_day if cost is not None)


def tax_free() -> Line:
    """Something that is charged, so that the export is never empty."""
    return line(0.5, line_item_resource_id="vol-1", line_item_usage_type="EBS:VolumeUsage.gp3")


@pytest.mark.parametrize("tags", ['["aws_eks_namespace"]', "{", '{"aws_eks_namespace": {"a": 1}}', '"search"'])
def test_tags_that_are_no_tags_say_nothing_and_cost_nothing(tags: str) -> None:
    """As a hostile CSV would have them: the row is read, whatever stands in its map."""
    text = cur2.csv_gz([server(10.0), {**pod("a", 8.0, 2.0), "resource_tags": tags}])
    frame = aws_cur2.parse(text, {"billing_period": cur2.PERIOD})["lines"]
    assert frame["resource_tags"].to_list()[1] is not None


def test_the_view_of_a_hostile_csv_is_built(tmp_path: Path) -> None:
    lines = [server(30.0)] + [
        {**pod(str(number), 8.0, 2.0), "resource_tags": tags}
        for number, tags in enumerate(['["aws_eks_namespace"]', "{", '{"aws_eks_namespace": ""}'])
    ]
    refresh(FolderPlace(tmp_path / NAME), [cur2.csv_gz(lines)], at=FIRST)
    acme = company(tmp_path, NAME)
    assert acme.fetch().error is None
    answers = acme.small.build(now=NOW, graph=cloud_graph([MART, CHECK]))
    assert {row["namespace"] for row in rows(answers)} == {None}
    assert laws(answers) == []


def test_servers_by_namespace_in_the_terminal(tmp_path: Path) -> None:
    lines = [
        server(10.0), pod("a", 4.0, 2.0), pod("b", 3.0, 0.9999999999, tags={**TAGS, "aws_eks_namespace": "chat"}),
        server(2.5, 4),
    ]  # fmt: skip
    refresh(FolderPlace(tmp_path / NAME), [parquet(lines)], at=FIRST)
    acme = company(tmp_path, NAME)
    assert acme.fetch().error is None
    acme.small.build(now=NOW, graph=cloud_graph([MART]))
    words = ["costs", "--by", "namespace", "--project", str(tmp_path), "--from", "2026-10-01", "--to", "2026-11-01"]
    shown = CliRunner().invoke(group, words).output
    for said in ("search", "chat", "$6.00", "These servers cost $12.50", "$2.50 in hours", "$0.0000000001 of AWS"):
        assert said in shown, shown
    asked = json.loads(CliRunner().invoke(group, [*words, "--format", "json"]).output)
    assert [(row["part"], row["namespace"]) for row in asked][:2] == [("container", "search"), ("container", "chat")]
    nothing = CliRunner().invoke(group, [*words[:-4], "--from", "2026-09-01", "--to", "2026-10-01"]).output
    assert "INCLUDE_SPLIT_COST_ALLOCATION_DATA" in nothing
