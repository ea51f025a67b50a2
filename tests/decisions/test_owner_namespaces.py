"""Servers that AWS splits by the pods on them, and who owns their namespaces: each charge once, by AWS's own ratios."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.decisions.owner_costs import IS_SERVER_USAGE
from pipeline.paths import sql_root
from tests.decisions.test_owner_costs import DAYS, MONEY, Row, api, built, by_team, cloud, gpu, rule

DAY = DAYS[0]
QUANTUM = Fraction(1, 10**18)
SEARCH, CHAT = rule(namespace="search", team="search"), rule(namespace="chat", team="chat")
PLATFORM = rule(tags='{"team":"platform"}', team="platform")
TAG = {"usage_date": DAY, "account": "aws", "resource_id": "i-1", "tag_key": "team", "tag_value": "platform"}


def container(cost: str | None, namespace: str | None = None, part: str = "container", **said: Any) -> Row:
    """A row of the split view, as the node reads it: of a server, by part and namespace."""
    return {
        "usage_date": DAY, "issuer": "aws", "account": "aws", "resource_id": "i-1", "billing_currency": "USD",
        "part": part, "cluster": "prod" if part == "container" else None, "namespace": namespace, "line_count": 2,
        "effective_cost": None if cost is None else Decimal(cost).quantize(Decimal(10) ** -18), **said,
    }  # fmt: skip


def server(cost: str, effective: str | None = None, **said: Any) -> Row:
    return cloud(DAY, cost, effective, **{"resource_id": "i-1", "is_server_usage": True, **said})


def split(rules: Sequence[Row], view: Sequence[Row], *charges: Row, **tables: Sequence[Row]) -> list[dict[str, Any]]:
    return built(
        rules, fct_cloud_charges_daily=charges, fct_container_costs_daily=view, int_owner_tags_daily=[TAG], **tables
    )


def test_a_namespace_pays_what_aws_says_its_pods_used_and_left_unused_and_the_rest_stays_the_servers() -> None:
    """$10 of which AWS gives $6.25 and $2.75 to pods; $1 is of hours without one, and the tag's owner keeps it."""
    view = [
        container("6.25", "search"), container("2.75", "chat"), container("0", part="rounding"),
        container("1", part="outside_view"),
    ]  # fmt: skip
    rows = split([SEARCH, CHAT, PLATFORM], view, server("10"), cloud(DAY, "4", resource_id="i-1"))
    assert by_team(rows) == {"search": Decimal("6.25"), "chat": Decimal("2.75"), "platform": Decimal(5)}
    assert {(row["namespace"], row["cluster"]) for row in rows} == {
        ("search", "prod"), ("chat", "prod"), (None, "prod"),
    }  # fmt: skip
    assert by_team(split([PLATFORM], view, server("10"))) == {"platform": Decimal(10)}


def test_what_no_rule_names_stays_a_line_of_its_own() -> None:
    rows = split([SEARCH], [container("6", "search"), container("4", "chat")], server("10"))
    assert by_team(rows) == {"search": Decimal(6), None: Decimal(4)}
    assert [row["namespace"] for row in rows if row["team"] is None] == ["chat"]


def test_a_server_of_a_billion_a_day_is_split_as_any_other_and_stops_no_build() -> None:
    view = [container("600000000", "search"), container("399999999.9999999999", "chat"), container("1e-10", "tiny")]
    spent = by_team(split([SEARCH, CHAT], view, server("1000000000")))
    assert spent == {"search": Decimal("600000000.0000000006"), "chat": Decimal("399999999.9999999994")}


def test_a_server_that_a_plan_covers_is_split_at_what_the_plan_makes_of_it() -> None:
    rows = split([SEARCH], [container("3", "search"), container("1", "chat")], server("0", "4", is_committed=True))
    spent = {(row["team"], row["cost_measure"]): row["realized_cost"].normalize() for row in rows}
    assert spent == {
        ("search", "billed"): 0, (None, "billed"): 0, ("search", "effective"): 3, (None, "effective"): 1,
    }  # fmt: skip


def test_a_cluster_owns_what_no_narrower_rule_does_and_not_its_namesake() -> None:
    prod = rule(cluster="prod", team="platform")
    trial = rule(cluster="trial", namespace="search", team="trials")
    view = [container("6", "search"), container("3", "chat"), container("1", part="outside_view")]
    assert by_team(split([prod, trial, SEARCH], view, server("10"))) == {"search": Decimal(6), "platform": Decimal(4)}
    elsewhere = [container("10", "search", cluster="trial")]
    assert by_team(split([prod, trial, SEARCH], elsewhere, server("10"))) == {"trials": Decimal(10)}


def test_a_gpu_server_is_split_by_gpu_time_alone_and_only_told_its_cluster() -> None:
    """Of what its engines do not say AWS's view says nothing here: the two would be two splits of one charge."""
    view = [container("6", "search"), container("4", "chat")]
    charges = [gpu(DAY, "10", issuer="aws", account="aws", resource_id="i-1")]
    rows = built(
        [SEARCH, CHAT, rule(cluster="prod", team="platform")],
        fct_gpu_costs_daily=charges,
        fct_cloud_charges_daily=[server("2", "10", is_gpu_resource=True, is_committed=True, is_server_usage=False)],
        fct_container_costs_daily=view,
    )
    assert by_team(rows) == {"platform": Decimal(12)}
    assert {row["namespace"] for row in rows} == {None}


@pytest.mark.parametrize(
    "view",
    [
        [container("6", "search"), container(None, "chat")],
        [container("6", "search"), container(None, part="unbilled")],
        [container("6", "search"), container(None, part="outside_view")],
        [container("16", "search"), container("-6", part="rounding")],
        [container("6", "search"), container("4", part="rounding")],
        [container("16", "search"), container("-6", "chat")],
        [container("0", "search"), container("0", "chat")],
        [container("10", "search", account="another")],
        [container("10", "search", billing_currency="EUR")],
        [],
    ],
    ids=["unknown pod", "unbilled hour", "unknown rest", "more than it is", "less than it is", "negative", "nothing",
         "another's", "another currency", "no view"],
)  # fmt: skip
def test_a_view_that_does_not_come_to_the_server_leaves_it_whole_with_its_tags_owner(view: Sequence[Row]) -> None:
    assert by_team(split([SEARCH, CHAT, PLATFORM], view, server("10"))) == {"platform": Decimal(10)}


COSTS = st.integers(0, 10**14).map(lambda parts: str(Decimal(parts).scaleb(-10)))
PLACES = [("prod", "search"), ("prod", "chat"), ("trial", "search"), (None, None), ("prod", None)]


@settings(max_examples=80, deadline=None)
@given(
    pods=st.dictionaries(st.sampled_from(PLACES), COSTS, max_size=5),
    rest=st.none() | COSTS,
    rounding=st.integers(-6, 6),
    charges=st.lists(
        st.one_of(
            st.builds(server, MONEY),
            st.builds(lambda cost: server("0", cost, is_committed=True), MONEY),
            st.builds(lambda cost: server(cost, billing_currency="EUR"), MONEY),
            st.builds(lambda cost: server(cost, resource_id="i-2"), MONEY),
            st.builds(lambda cost: cloud(DAY, cost, resource_id="i-1"), MONEY),
        ),
        min_size=1,
        max_size=4,
    ),
)
def test_whatever_pods_say_every_charge_is_had_once_and_by_aws_ratios(
    pods: Mapping[tuple[str | None, str | None], str],
    rest: str | None,
    rounding: int,
    charges: list[Row],
) -> None:
    """B9, B22: each kind of charge adds up; of the server's own, each namespace has its share to the quantum."""
    view = [container(cost, namespace, cluster=cluster) for (cluster, namespace), cost in pods.items()]
    if rest is not None:
        view.append(container(rest, part="outside_view"))
    view.append(container(str(Decimal(rounding).scaleb(-10)), part="rounding", line_count=6))
    rows = split([SEARCH, CHAT], view, *charges, fct_api_costs_daily=[api(DAY, "1")])
    expected: dict[tuple[str, str], Fraction] = defaultdict(Fraction)
    of_server: dict[str, Fraction] = defaultdict(Fraction)
    for row in charges:
        measures = {
            "billed": row["billed_cost"],
            **({"effective": row["effective_cost"]} if row["is_committed"] else {}),
        }
        for measure, cost in measures.items():
            expected[measure, row["billing_currency"]] += Fraction(cost)
            if row["is_server_usage"] and row["resource_id"] == "i-1" and row["billing_currency"] == "USD":
                of_server[measure] += Fraction(cost)
    expected["billed", "USD"] += 1
    told: dict[tuple[str, str], Fraction] = defaultdict(Fraction)
    for row in rows:
        told[row["cost_measure"], row["billing_currency"]] += Fraction(row["realized_cost"])
    assert told == expected
    whole = sum((Fraction(cost) for cost in pods.values()), Fraction(rest or 0))
    for measure, cost in of_server.items():
        for (cluster, namespace), share in pods.items():
            if namespace is None or not whole:
                continue
            part = sum(
                Fraction(row["realized_cost"])
                for row in rows
                if (row["cluster"], row["namespace"], row["cost_measure"]) == (cluster, namespace, measure)
            )
            # A quantum is left over at most once a charge.
            assert abs(part - cost * Fraction(share) / whole) < QUANTUM * len(charges) + QUANTUM


def test_what_is_a_servers_own_is_said_as_the_law_of_the_view_says_it() -> None:
    law = (sql_root() / "checks" / "cloud_containers_conserved.sql").read_text(encoding="utf-8")
    for condition in IS_SERVER_USAGE.split(" and "):
        assert condition in law
