"""Who owns what a charge is of."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from pipeline.config.values import Day, Name, OwnerName, Section, one_or_more
from pipeline.ownership import ATTRIBUTES, OwnerRule, rule_name


class OwnerMatch(Section):
    """What a charge is known by: all that is named must match. `workspace` and `project` are one vendor's or the
    other's word for the same thing. `resource` is what a bill charges for, `tags` what it is tagged with there.
    `replica` is an engine on a GPU, `namespace` what its name has before the last slash (`cluster/namespace`, maybe).
    Of other servers `namespace` is that of the pods that ran on it, and `cluster` of any server what it was a node of,
    where the bill has AWS's split cost allocation data.
    """

    account: str | None = None
    workspace: str | None = None
    project: str | None = None
    api_key: str | None = None
    gateway_key: str | None = None
    gateway_team: str | None = None
    workload: Name | None = None
    deployment: Name | None = None
    resource: str | None = None
    cluster: str | None = None
    namespace: str | None = None
    replica: str | None = None
    tags: dict[str, str] = Field(default_factory=dict)

    @property
    def fields(self) -> dict[str, str]:
        """What it names, in the words of the tables."""
        said = {
            "account": self.account,
            "sub_account_id": self.project if self.workspace is None else self.workspace,
            "api_key_id": self.api_key,
            "gateway_key_id": self.gateway_key,
            "gateway_team_id": self.gateway_team,
            "workload": self.workload,
            "deployment_id": self.deployment,
            "resource_id": self.resource,
            "cluster": self.cluster,
            "namespace": self.namespace,
            "replica_id": self.replica,
        }
        return {name: value for name, value in said.items() if value is not None}


class Ownership(Section):
    """Who owns what a charge is of, valid [from, to): its team, cost centre and environment, or some of these.

    Of the rules that match a charge the narrowest says it, each of the three by itself; rules of which neither is the
    narrower are refused. What no rule says is unattributed.
    """

    match: OwnerMatch
    team: OwnerName | None = None
    cost_centre: OwnerName | None = None
    environment: OwnerName | None = None
    valid_from: Day | None = Field(default=None, alias="from")
    valid_to: Day | None = Field(default=None, alias="to")

    @property
    def rule(self) -> OwnerRule:
        """As it is applied. Its name is what it matches."""
        fields, tags = self.match.fields, self.match.tags
        named = [*fields.items(), *((f"tag {key}", value) for key, value in sorted(tags.items()))]
        said = {name: getattr(self, name) for name in ATTRIBUTES}
        return OwnerRule(
            name=rule_name(named),
            fields=fields,
            says={name: owner for name, owner in said.items() if owner is not None},
            tags=tags,
            valid_from=self.valid_from,
            valid_to=self.valid_to,
        )


class OwnerAlias(Section):
    """What a team, a cost centre or an environment is called now, and what it `was` called: no past row moves."""

    team: OwnerName | None = None
    cost_centre: OwnerName | None = None
    environment: OwnerName | None = None
    was: Annotated[
        tuple[OwnerName, ...],
        Field(min_length=1),
        BeforeValidator(one_or_more, json_schema_input_type=OwnerName | tuple[OwnerName, ...]),
    ]
