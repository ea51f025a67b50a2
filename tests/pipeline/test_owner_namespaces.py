"""From AWS's split view to the terminal: whose the servers of a cluster were, and what a rule says of the rest."""

import json
from decimal import Decimal
from pathlib import Path

import yaml
from click.testing import CliRunner

from pipeline.cli import group
from tests.models.test_container_costs import SERVER, TAGS, pod, server
from tests.sources.cur2 import FIRST, NAME, NOW, FolderPlace, company, line, parquet, refresh

CHAT = {**TAGS, "aws_eks_namespace": "chat"}
GPU = "i-0123456789abcdef0"
PERIOD = ("--from", "2026-10-01", "--to", "2026-11-01")


def test_a_team_is_told_what_its_namespaces_cost_and_the_bill_is_what_it_was(tmp_path: Path) -> None:
    """By hand: of $10 search had $6 and chat $3; an hour of $2.50 without a pod, and $1.25 of network, are the tag's.
    A GPU server's $7 are not split by the view: its cluster owns them.
    """
    own = {"resource_tags": {"user_team": "platform"}}
    lines = [
        server(10.0, **own), pod("a", 4.0, 2.0), pod("b", 2.5, 0.5, tags=CHAT), pod("c", 1.0, 0.0, tags={}),
        server(2.5, 4, **own),
        line(1.25, line_item_usage_type="USE1-DataTransfer-Out-Bytes", **own),
        server(7.0, line_item_resource_id=GPU),
        pod("d", 7.0, 0.0, split_line_item_parent_resource_id=GPU),
    ]  # fmt: skip
    refresh(FolderPlace(tmp_path / NAME), [parquet(lines)], at=FIRST)
    acme = company(tmp_path, NAME)
    search = {"team": "search", "match": {"namespace": "search", "cluster": "prod"}, "from": "2026-10-01"}
    resource = {"issuer": "aws", "resource_id": GPU, "host": "node-1", "gpu_count": 8, "from": "2026-10-01"}
    acme.small.configure(ownership=[search], gpu_resources=[resource])

    def call(*words: str) -> str:
        answer = CliRunner().invoke(group, [*words, "--project", str(tmp_path), *PERIOD])
        assert answer.exit_code == 0, answer.output
        return answer.output

    def spent() -> dict[str | None, Decimal]:
        rows = json.loads(call("costs", "--by", "team", "--format", "json"))
        return {row["owner"]: Decimal(str(row["realized_cost_rc"])) for row in rows if row["cost_measure"] == "billed"}

    assert acme.fetch().error is None
    built = acme.small.build(now=NOW)
    for law in ("owner_money_conserved", "cloud_containers_conserved"):
        assert built.rows(f"select * from check_{law}") == []
    names = f"select distinct namespace from fct_owner_costs_daily where resource_id = '{SERVER}' order by all"
    assert [row["namespace"] for row in built.rows(names)] == ["chat", "search", None]
    assert spent() == {"search": 6, None: Decimal("14.75")}
    unowned = [row for row in json.loads(call("owners", "--format", "json")) if row["known_by"] == "namespace"]
    assert [(row["cluster"], row["known_as"], Decimal(row["billed_cost_rc"])) for row in unowned] == [
        ("prod", "chat", 3)
    ]
    proposed = yaml.safe_load(unowned[0]["line"].replace("NAME", "chat"))[0]
    assert proposed == {"team": "chat", "match": {"account": "aws", "namespace": "chat", "cluster": "prod"}}
    rules = [
        search,
        {**proposed, "from": "2026-10-01"},
        {"team": "platform", "match": {"tags": {"user_team": "platform"}}, "from": "2026-10-01"},
        {"team": "gpus", "match": {"cluster": "prod"}, "from": "2026-10-01"},
    ]
    acme.small.configure(ownership=rules, gpu_resources=[resource])
    acme.small.project.land_config(NOW)
    acme.small.build(now=NOW)
    # What no rule names of the server is its tag's, before its cluster's.
    assert spent() == {"search": 6, "chat": 3, "platform": Decimal("4.75"), "gpus": 7}
