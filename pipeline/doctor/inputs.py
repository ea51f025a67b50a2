"""What the next input would add: of what has come, which figure still lacks something, and what that is.

Nothing in breakeven.yaml is mandatory. What is there gives the figures it can; this says the one thing that would give
the next, and `figures` the line that would map what is there already.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from pipeline.config.whole import Config
from pipeline.decisions.model_matches import sellers_of
from pipeline.doctor.figures import AREA, DAYS, as_yaml, mapping_findings
from pipeline.doctor.findings import Cost, Finding, next_step
from pipeline.doctor.seen import deployments_seen
from pipeline.formats import currency as currencies
from pipeline.reports.figures import counted
from pipeline.reports.questions import Questions

# Who bills a provider's API -> the source that counts its tokens; the other way round.
_METERS = {"anthropic": "anthropic_usage_api", "openai": "openai_usage_api"}
_BILLS = {"anthropic": "anthropic_cost_api", "openai": "openai_costs_api"}

_MS_PER_HOUR = 3_600_000

Row = Mapping[str, Any]


def next_input(
    questions: Questions, config: Config, *, from_date: date, to_date: date, is_config_landed: bool = True
) -> Finding | None:
    """The one thing that would add most: an input that is missing, or a line that maps what is there."""
    days: dict[str, Any] = {"from_date": from_date, "to_date": to_date}
    return next_step(
        [
            *input_findings(questions, config, **days),
            *mapping_findings(questions, config, is_config_landed=is_config_landed, **days),
        ]
    )


def input_findings(questions: Questions, config: Config, *, from_date: date, to_date: date) -> list[Finding]:
    """Each kind of input that would give a figure which what has come does not give."""
    days: dict[str, Any] = {"from_date": from_date, "to_date": to_date}
    (has,) = questions.ask("inputs", **days).to_dicts()
    hosts = questions.ask("hosts_seen", **days).to_dicts()
    billed = [row for row in questions.ask("unassigned_gpu", **days).to_dicts() if row["host"] is None]
    on_clouds = questions.ask("undeclared_gpus", **days).to_dicts()
    found = [
        *_of_gpus(has, hosts, billed, config),
        *_of_clouds(on_clouds),
        *_of_reports(questions.ask("reported_gpu_hours", **days).to_dicts(), config),
        *_of_apis(has, config),
        *_of_engines(has, hosts, config),
    ]
    if not found:
        found = list(
            _of_the_other_lane(has, hosts, config, day=to_date) if _is_something(has) or hosts else _of_nothing()
        )
    return found


def _is_something(has: Row) -> bool:
    return any(has[name] for name in ("api_cost_rc", "api_tokens", "gpu_milliseconds", "engine_tokens",
                                      "gateway_rows_count"))  # fmt: skip


def _of_nothing() -> Iterator[Finding]:
    yield _lacks(
        f"no figure of the last {DAYS} days can be given yet",
        "A first export, key or scrape: `breakeven doctor` says what each source lacks",
    )


def _of_gpus(has: Row, hosts: Sequence[Row], billed: Sequence[Row], config: Config) -> Iterator[Finding]:
    unpaid = [row for row in hosts if row["unpaid_days_count"]]
    gpus = sum(row["gpu_count"] for row in unpaid)
    if gpus and billed:
        money = _money(has["unobserved_cost_rc"], config)
        yield _lacks(
            f"{counted(gpus, 'GPU')} seen on {counted(len(unpaid), 'host')}, {money} of GPUs billed and never seen",
            "Under gpu_resources, which billed resource is which host -> what served and what bought nothing, in money",
            has["unobserved_cost_rc"],
            line=_link(unpaid, billed),
        )
    elif gpus:
        served = " -> realized cost per million tokens" if has["engine_tokens"] else " -> what their idle hours cost"
        yield _lacks(
            f"{counted(gpus, 'GPU')} seen on {counted(len(unpaid), 'host')}, and nothing says what they cost",
            f"An invoice for the {counted(gpus, 'GPU')} seen, or their rate under gpu_resources{served}",
        )
    if has["gpu_milliseconds"] and has["unobserved_gpu_milliseconds"] == has["gpu_milliseconds"] and not hosts:
        money = _money(has["gpu_cost_rc"], config)
        resources = counted(has["gpu_resource_count"], "billed GPU resource")
        yield _lacks(
            f"{money} of GPUs, and not one of their hours was observed",
            f"Telemetry of the {resources} (nvml_spool or prometheus) -> which hours served, and which bought nothing",
            has["gpu_cost_rc"],
        )
    elif has["gpu_milliseconds"] and not has["engine_tokens"]:
        yield _lacks(
            f"{_money(has['gpu_cost_rc'], config)} of GPUs, and no engine that serves on them was scraped",
            "Scrapes of the engines on these GPUs (nvml_spool or prometheus) -> realized cost per million tokens",
            has["gpu_cost_rc"],
        )


def _of_clouds(rows: Sequence[Row]) -> Iterator[Finding]:
    """GPU instances on a cloud's bill that nobody declares, and those declared with another number of GPUs."""
    unknown = [row for row in rows if not row["is_declared"]]
    if unknown:
        hours = f"{sum(row['gpu_milliseconds'] for row in unknown) / _MS_PER_HOUR:,.1f}"
        longest = unknown[0]
        said = {"issuer": longest["issuer"], "resource_id": longest["resource_id"],
                "gpu_count": longest["type_gpu_count"], "from": longest["first_date"]}  # fmt: skip
        yield _lacks(
            f"{hours} GPU-hours of {counted(len(unknown), 'instance')} on cloud bills, which nobody declares"
            f" ({_called(longest)})",
            "Under gpu_resources, each of them, the longest first -> what served and what bought nothing, in money",
            cost=Cost.BELONGS_TO_NOBODY,
            line="" if said["gpu_count"] is None else f"- {as_yaml(said)}",
        )
    for row in rows:
        if row["is_declared"]:
            yield _lacks(
                f"{row['resource_id']} of {row['issuer']} is a {row['instance_type']}, which has "
                f"{counted(row['type_gpu_count'], 'GPU')}, and gpu_resources says {row['declared_gpu_count']}",
                "Correct gpu_count, where the line is of one such instance: its GPU-hours are counted by it",
            )


def _of_reports(rows: Sequence[Row], config: Config) -> Iterator[Finding]:
    """GPU-hours that an issuer counts without a cost, on days for which no rate is agreed."""
    hours: dict[tuple[str, str], Any] = {}
    for row in rows:
        resource = row["issuer"], row["resource_id"]
        if not any(
            (agreed.issuer, agreed.resource_id) == resource
            and agreed.contract_rate_per_gpu_hour is not None
            and agreed.valid_from <= row["usage_date"]
            and (agreed.valid_to is None or row["usage_date"] < agreed.valid_to)
            for agreed in config.gpu_resources
        ):
            hours[resource] = hours.get(resource, 0) + row["reported_gpu_hours"]
    if hours:
        issuer, most = max(hours, key=lambda resource: (hours[resource], resource))
        yield _lacks(
            f"{sum(hours.values()):,.1f} GPU-hours of {counted(len(hours), 'resource')} are reported, and no rate is "
            f"agreed ({most} of {issuer})",
            "Under gpu_resources, each of them with its contract_rate_per_gpu_hour -> what accrues until it is billed",
            cost=Cost.BELONGS_TO_NOBODY,
        )


def _called(row: Row) -> str:
    return " ".join(said for said in (row["resource_id"], row["instance_type"]) if said is not None)


def _link(unpaid: Sequence[Row], billed: Sequence[Row]) -> str:
    """The line that says so, where the two have one name, or there is one of each."""
    pairs = [
        (resource, host)
        for resource in billed
        for host in unpaid
        if resource["resource_id"] in (host["host"], host["resource_id"]) or len(billed) == len(unpaid) == 1
    ]
    if not pairs:
        return ""
    resource, host = pairs[0]
    said = {"issuer": resource["issuer"], "resource_id": resource["resource_id"], "host": host["host"],
            "gpu_count": host["gpu_count"], "from": host["first_seen_date"]}  # fmt: skip
    return f"- {as_yaml(said)}"


def _of_engines(has: Row, hosts: Sequence[Row], config: Config) -> Iterator[Finding]:
    """Tokens that somebody pays for and that no deployment claims."""
    paid = [row for row in hosts if row["cost_rc"] is not None and row["tokens"]]
    if not paid or config.deployments:
        return
    deployment, covers = next(deployments_seen(paid, config.reporting_currency), (None, ""))
    if deployment is not None:
        yield _lacks(
            f"{counted(len(paid), 'host')} that serves and is paid for belongs to no deployment"
            if len(paid) == 1
            else f"{len(paid)} hosts that serve and are paid for belong to no deployment",
            f"In breakeven.yaml, under deployments, this {covers} of the last {DAYS} days:",
            sum(row["cost_rc"] for row in paid),
            line=f"- {as_yaml(deployment)}",
        )


def _of_apis(has: Row, config: Config) -> Iterator[Finding]:
    if has["api_uncounted_account"] is not None:
        provider, _, account = has["api_uncounted_account"].partition("/")
        money = _money(has["api_uncounted_cost_rc"], config)
        meter = _METERS.get(provider, "its usage export")
        # One that is configured and brings nothing is a source's trouble, and said with the source.
        if not any((source.source, source.account) == (meter, account) for source in config.sources):
            yield _lacks(
                f"{money} billed by {provider} to {account} without a count of tokens",
                f"{meter} of account {account} -> its price per million tokens, and its traffic by the hour",
                has["api_uncounted_cost_rc"],
            )
    if has["api_unbilled_account"] is not None:
        provider, _, account = has["api_unbilled_account"].partition("/")
        yield _lacks(
            f"tokens of {provider}, account {account}, and no bill of them",
            f"{_BILLS.get(provider, 'its bill')} of account {account} -> what they really cost",
        )
    if has["gateway_rows_count"] and has["api_cost_rc"] is None:
        yield _lacks(
            "a gateway's estimate, and no bill beside it",
            "The provider's own bill (anthropic_cost_api, openai_costs_api or an export) -> billed cost, and how far "
            "the gateway is off",
        )


def _of_the_other_lane(has: Row, hosts: Sequence[Row], config: Config, *, day: date) -> Iterator[Finding]:
    """One lane is whole: what to compare it with."""
    has_candidate = any(workload.candidate is not None for workload in config.workloads)
    if has["api_tokens"] and not has["gpu_milliseconds"] and not has_candidate and config.workloads:
        yield _lacks(
            "an API's bill alone",
            "A `candidate` on a workload, as {gpu: H100, gpus_per_replica: 2} -> what would have to be true for "
            "self-hosting to pay",
            has["api_cost_rc"],
            cost=Cost.BELONGS_TO_NOBODY,
        )
    compared = config.comparator is not None or any(workload.api_model for workload in config.workloads)
    if has["engine_tokens"] and not has["api_tokens"] and config.deployments and not compared:
        yield _lacks(
            "GPUs alone",
            f"{_comparators(hosts, day)} -> the same tokens at its list price, and a verdict",
            has["gpu_cost_rc"],
            cost=Cost.BELONGS_TO_NOBODY,
        )


def _comparators(hosts: Sequence[Row], day: date) -> str:
    """An API to compare with: one that sells the very weights that are served, where one is known."""
    served = [
        row["served_names"] for row in hosts if row["served_names"] is not None and ", " not in row["served_names"]
    ]
    for name in dict.fromkeys(served):
        for seller in sellers_of([name], day=day):
            return f"`comparator: {seller.provider}/{seller.name}`, which sells the weights of {name}, or another API"
    return "`comparator: claude-haiku-4-5`, or another API"


def _money(amount: Any, config: Config) -> str:
    if amount is None:
        return "an unknown amount"
    return currencies.money(amount, config.reporting_currency)


def _lacks(
    said: str, fix: str, at_stake_rc: Any = None, cost: Cost = Cost.FIGURE_LACKS_AN_INPUT, line: str = ""
) -> Finding:
    return Finding(AREA, "inputs", "inputs", "note", said, fix=fix, line=line, cost=cost, at_stake_rc=at_stake_rc)


def in_words(found: Finding) -> str:
    """`Next: ...`, on one line."""
    todo = f"{found.fix} {found.line}".strip()
    return f"Next: {todo}  ({found.said})"
