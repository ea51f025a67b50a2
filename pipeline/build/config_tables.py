"""`breakeven.yaml` as dated tables: every version that was landed, each row valid from when it was said.

Three ways to say since when something is so. An undated edit: since the day it landed. A `from:` or `to:` of the entry
itself: since that day. `breakeven amend`: all that breakeven.yaml said when it was amended, since a past day.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any, NamedTuple

import polars as pl
from pydantic import ValidationError

from pipeline.config import (
    ASSUMED_PEAK_ALLOWANCE,
    Candidate,
    Capacity,
    Config,
    Deployment,
    Ownership,
    PerUse,
    SourceConfig,
    Workload,
)
from pipeline.config_landed import landed_config
from pipeline.landing.dataset import Dataset
from pipeline.landing.project import AMEND_EVENT, CAPACITY_EVENT, CONFIG_EVENT
from pipeline.landing.records import Event, canonical
from pipeline.ownership import ATTRIBUTES, FIELDS

Row = dict[str, Any]
_MONEY = pl.Decimal(38, 18)
_VALID = {"valid_from_date": pl.Date(), "valid_to_date": pl.Date()}
# What a replica is of, declared of a deployment or a candidate.
_SERVED: dict[str, pl.DataType] = {
    "gpu_type": pl.String(),
    "parameters_billions": _MONEY,
    "active_parameters_billions": _MONEY,
    "bytes_per_parameter": _MONEY,
    "kv_bytes_per_token": _MONEY,
    "context_tokens": _MONEY,
    "requests_at_once_count": pl.Int64(),
    "tokens_per_step": _MONEY,
}

SCHEMAS: dict[str, dict[str, pl.DataType]] = {
    "config_sources": {
        "source": pl.String(),
        "account": pl.String(),
        "dataset": pl.String(),
        "issuer": pl.String(),
        "role": pl.String(),
        "measure": pl.String(),
        "settle_lag_hours": pl.Int64(),
        "settles_days": pl.Boolean(),
        "currency": pl.String(),
        "is_filtered": pl.Boolean(),
    },
    "config_estimated_bills": {
        "source": pl.String(),
        "account": pl.String(),
        "provider": pl.String(),
        "bill_issuer": pl.String(),
        "bill_account": pl.String(),
    },
    "config_gpu_resources": {
        "issuer": pl.String(),
        "resource_id": pl.String(),
        "host": pl.String(),
        "gpu_count": pl.Int64(),
        "contract_rate_per_gpu_hour": _MONEY,
        "currency": pl.String(),
        "committed_until_date": pl.Date(),
        **_VALID,
    },
    "config_capacity_blocks": {
        "account": pl.String(),
        "reservation_id": pl.String(),
        "invoice_id": pl.String(),
        "block_start_at": pl.Datetime("us"),
        "block_end_at": pl.Datetime("us"),
    },
    "config_gpu_pool_hosts": {
        "issuer": pl.String(),
        "resource_id": pl.String(),
        "host": pl.String(),
        **_VALID,
    },
    "config_deployments": {
        "deployment_id": pl.String(),
        "model": pl.String(),
        "gpus_per_replica": pl.Int64(),
        "minimum_replicas": pl.Int64(),
        "spare_replicas": pl.Int64(),
        "tokens_per_second": _MONEY,
        "prefill_tokens_per_second": _MONEY,
        "cached_tokens_per_second": _MONEY,
        "decode_tokens_per_second": _MONEY,
        "peak_allowance": _MONEY,
        "is_peak_allowance_declared": pl.Boolean(),
        "measured_on": pl.Date(),
        "capacity_source": pl.String(),
        **_SERVED,
        "token_cost_split": pl.String(),
        "token_cost_api_model": pl.String(),
        "input_uncached_weight_ratio": _MONEY,
        "input_cache_read_weight_ratio": _MONEY,
        "output_weight_ratio": _MONEY,
        **_VALID,
    },
    "config_rents": {
        "deployment_id": pl.String(),
        "on_demand_gpu_hour_rate": _MONEY,
        "reserved_gpu_hour_rate": _MONEY,
        "warm_up_minutes": pl.Int64(),
        "start_cost": _MONEY,
        "currency": pl.String(),
        **_VALID,
    },
    "config_deployment_hosts": {"deployment_id": pl.String(), "host": pl.String(), **_VALID},
    "config_deployment_served_names": {"deployment_id": pl.String(), "served_name": pl.String(), **_VALID},
    "config_deployment_roles": {
        "deployment_id": pl.String(),
        "engine_name": pl.String(),
        "engine_role": pl.String(),
        **_VALID,
    },
    "config_deployment_adapters": {"deployment_id": pl.String(), "adapter": pl.String(), **_VALID},
    "config_workloads": {
        "workload": pl.String(),
        "team": pl.String(),
        "deployment_id": pl.String(),
        "api_model": pl.String(),
        "comparator_model": pl.String(),
        "sampled_week_from_date": pl.Date(),
        "pinned_to": pl.String(),
        "pin_reason": pl.String(),
        "migration_one_off_cost": _MONEY,
        "migration_payback_months": pl.Int64(),
        "may_wait_hours": pl.Int64(),
        "movable_share_ratio": _MONEY,
        "tokens_per_api_token": _MONEY,
        **_VALID,
    },
    "config_candidates": {
        "workload": pl.String(),
        **_SERVED,
        "gpus_per_replica": pl.Int64(),
        "gpu_hour_rate": _MONEY,
        "tokens_per_second": _MONEY,
        "tokens_per_api_token": _MONEY,
        "engineering_hours_per_month": _MONEY,
        "engineering_hour_rate": _MONEY,
        "peak_allowance": _MONEY,
        "currency": pl.String(),
        **_VALID,
    },
    "config_workload_rules": {
        "rule_id": pl.String(),
        "workload": pl.String(),
        "provider": pl.String(),
        "account": pl.String(),
        "sub_account": pl.String(),
        "api_key": pl.String(),
        "gateway_key": pl.String(),
        "gateway_team": pl.String(),
        "model": pl.String(),
        "served_name": pl.String(),
        "deployment_id": pl.String(),
        **_VALID,
    },
    "config_overheads": {
        "item": pl.String(),
        "monthly_cost": _MONEY,
        "currency": pl.String(),
        "deployment_id": pl.String(),
        **_VALID,
    },
    "config_contracts": {
        "provider": pl.String(),
        "account": pl.String(),
        "discount_ratio": _MONEY,
        "commitment_cost": _MONEY,
        "commitment_period": pl.String(),
        "minimum_monthly_cost": _MONEY,
        "agreed_from_date": pl.Date(),
        "currency": pl.String(),
        **_VALID,
    },
    "config_contract_rates": {
        "provider": pl.String(),
        "account": pl.String(),
        "model": pl.String(),
        "token_class": pl.String(),
        "mode": pl.String(),
        "context_window": pl.String(),
        "region": pl.String(),
        "cost_per_mtok": _MONEY,
        "currency": pl.String(),
        **_VALID,
    },
    "config_models": {
        "provider": pl.String(),
        "model": pl.String(),
        "weights": pl.String(),
        "precision": pl.String(),
        **_VALID,
    },
    "config_budgets": {
        "scope": pl.String(),
        "scope_name": pl.String(),
        "monthly_cost": _MONEY,
        "currency": pl.String(),
        **_VALID,
    },
    "config_per_use": {"per_use_service": pl.String(), "model": pl.String(), **_VALID},
    "config_per_use_charges": {
        "per_use_service": pl.String(),
        "account": pl.String(),
        "resource_id": pl.String(),
        "service": pl.String(),
        "sku": pl.String(),
        "sub_account_id": pl.String(),
        **_VALID,
    },
    "config_per_use_tokens": {
        "per_use_service": pl.String(),
        "gateway_account": pl.String(),
        "provider": pl.String(),
        "raw_model": pl.String(),
        **_VALID,
    },
    "config_ownership": {
        **dict.fromkeys(FIELDS, pl.String()),
        "tags": pl.String(),
        **dict.fromkeys(ATTRIBUTES, pl.String()),
        **_VALID,
    },
    "config_ownership_tags": {"tag_key": pl.String(), **_VALID},
    "config_owner_aliases": {"attribute": pl.String(), "past_name": pl.String(), "present_name": pl.String(), **_VALID},
    "config_company": {
        "company": pl.String(),
        "reporting_currency": pl.String(),
        "enter_ratio": _MONEY,
        "exit_ratio": _MONEY,
        "dwell_days": pl.Int64(),
        "cooldown_days": pl.Int64(),
        "regret_one_off_cost": _MONEY,
        "regret_alpha": _MONEY,
        **_VALID,
    },
}


class Version(NamedTuple):
    """What breakeven.yaml said, and since which day. `amends`: it replaces what was said of those days before."""

    at: datetime
    config: Config
    from_date: date = date.min
    amends: bool = False


@dataclass(frozen=True)
class LeftOut:
    """What this release cannot read of an event about the configuration, entry by entry. The rest of it holds."""

    event: Event
    reasons: tuple[str, ...] = ()


def config_versions(events: Iterable[Event]) -> list[Version]:
    """Every configuration and every amendment that was landed, oldest first. The last one speaks for today."""
    return [version for version, _ in _read(events) if version is not None]


def config_left_out(events: Iterable[Event]) -> list[LeftOut]:
    """What cannot be read of the configurations that speak for some day to this moment, oldest first."""
    speaking: list[tuple[date, LeftOut]] = []
    for version, left_out in _read(events):
        start = date.max if version is None else version.from_date
        speaking = [(earlier, said) for earlier, said in speaking if earlier < start]
        speaking.append((left_out.event.at.date() if version is None else start, left_out))
    return [left_out for _, left_out in speaking if left_out.reasons]


def _read(events: Iterable[Event]) -> Iterator[tuple[Version | None, LeftOut]]:
    """Each event about the configuration as this release reads it; None where it says nothing that can be read."""
    standing: Config | None = None
    measured: dict[str, Capacity] = {}
    is_first = True
    said = [event for event in events if event.kind in (CONFIG_EVENT, AMEND_EVENT, CAPACITY_EVENT)]
    # Of one moment, the amendment is of the version that landed with it, and so is what was measured.
    for event in sorted(said, key=lambda event: (event.at, event.kind != CONFIG_EVENT)):
        if event.kind == AMEND_EVENT:
            yield _amendment(event, None if standing is None else _with_measured(standing, measured))
            continue
        left_out: tuple[str, ...] = ()
        from_date = event.at.date()
        if event.kind == CAPACITY_EVENT:
            left_out = _read_measured(event, measured)
        else:
            read = landed_config(event.body.get("config"))
            standing, left_out = read.config, read.left_out
            from_date = date.min if is_first else from_date
            is_first = False
        version = None if standing is None else Version(event.at, _with_measured(standing, measured), from_date)
        yield version, LeftOut(event, left_out)


def _read_measured(event: Event, measured: dict[str, Capacity]) -> tuple[str, ...]:
    """Note what was measured of a deployment or a workload; why not, where it cannot be read."""
    try:
        measured[event.subject] = Capacity.model_validate(event.body["capacity"])
    except (KeyError, ValidationError) as error:
        return (f"what was measured of {event.subject} cannot be read: {type(error).__name__}",)
    return ()


def _with_measured(config: Config, measured: Mapping[str, Capacity]) -> Config:
    """What is declared, less what was measured since: of two capacities the later one counts."""

    def later(declared: Capacity | None, subject: str) -> Capacity | None:
        found = measured.get(subject)
        if found is None or (declared is not None and declared.measured_on > found.measured_on):
            return declared
        return found

    if not measured:
        return config
    deployments = tuple(
        one.model_copy(update={"capacity": later(one.capacity, measured_subject(deployment=one.deployment))})
        for one in config.deployments
    )
    workloads = tuple(_with_measured_candidate(one, measured) for one in config.workloads)
    return config.model_copy(update={"deployments": deployments, "workloads": workloads})


def _with_measured_candidate(workload: Workload, measured: Mapping[str, Capacity]) -> Workload:
    """A candidate sustains what its workload's requests were measured to be served with, unless one is declared."""
    found = measured.get(measured_subject(workload=workload.workload))
    if workload.candidate is None or workload.candidate.tokens_per_second is not None or found is None:
        return workload
    allowance = workload.candidate.peak_allowance if found.peak_allowance is None else found.peak_allowance
    update = {"tokens_per_second": found.tokens_per_second, "peak_allowance": allowance}
    return workload.model_copy(update={"candidate": workload.candidate.model_copy(update=update)})


def measured_subject(*, deployment: str | None = None, workload: str | None = None) -> str:
    """What a capacity event is about."""
    return f"deployment:{deployment}" if workload is None else f"workload:{workload}"


def _amendment(event: Event, standing: Config | None) -> tuple[Version | None, LeftOut]:
    """What an amendment says of the configuration that stands. Of days to come that is what the edit said before."""
    try:
        from_date = date.fromisoformat(event.body["from"])
    except (KeyError, TypeError, ValueError):
        return None, LeftOut(event, (f"`from` is {event.body.get('from')!r}, not a day",))
    if standing is None:
        return None, LeftOut(event, ("no configuration that can be read stood then",))
    return Version(event.at, standing, from_date, amends=True), LeftOut(event)


def config_frames(versions: Sequence[Version], datasets: Iterable[Dataset]) -> dict[str, pl.DataFrame]:
    """One frame per config table. An undated edit applies from the day it landed; the first version from always."""
    datasets = tuple(datasets)
    versions = _in_one_currency(versions)
    rows: dict[str, list[Row]] = {name: [] for name in SCHEMAS}
    for name, extract in _EXTRACTS.items():
        rows[name] = _History(extract, *_THINGS.get(name, ((), ()))).of(versions)
    if versions:
        rows["config_sources"] = list(_sources(versions[-1].config, datasets))
        rows["config_estimated_bills"] = list(_estimated_bills(versions[-1].config, datasets))
        rows["config_capacity_blocks"] = list(_capacity_blocks(versions[-1].config))
    return {name: pl.DataFrame(rows[name], schema=schema, orient="row") for name, schema in SCHEMAS.items()}


def _in_one_currency(versions: Sequence[Version]) -> list[Version]:
    """The versions with the newest one's reporting currency: a sum over days on both sides of a change of it would add
    two currencies. It is how money is shown, not what anything cost: every day keeps its own rate.
    """
    newest = {"reporting_currency": versions[-1].config.reporting_currency} if versions else {}
    return [version._replace(config=version.config.model_copy(update=newest)) for version in versions]


class _Span(NamedTuple):
    """What is said of one thing on the days [start, end); date.min and date.max are open ends."""

    start: date
    end: date
    row: Row


_Spans = list[_Span]
_Said = dict[Hashable, _Spans]

# Tables whose rows may carry days of their own -> the columns that name whose days they are, and the further ones that
# name what the row is about: the days of a host are those of its deployment. Of one thing one row is valid on a day.
_THINGS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "config_gpu_resources": (("issuer", "resource_id"), ()),
    "config_gpu_pool_hosts": (("issuer", "resource_id"), ("host",)),
    "config_deployments": (("deployment_id",), ()),
    "config_deployment_hosts": (("deployment_id",), ("host",)),
    "config_deployment_served_names": (("deployment_id",), ("served_name",)),
    "config_deployment_roles": (("deployment_id",), ("engine_name", "engine_role")),
    "config_deployment_adapters": (("deployment_id",), ("adapter",)),
    "config_contracts": (("provider", "account"), ()),
    "config_models": (("provider", "model"), ()),
    "config_budgets": (("scope", "scope_name"), ()),
    "config_per_use": (("per_use_service",), ()),
    "config_per_use_charges": (("per_use_service",), ("account", "resource_id", "service", "sku", "sub_account_id")),
    "config_per_use_tokens": (("per_use_service",), ("gateway_account", "provider", "raw_model")),
    "config_ownership": ((*FIELDS, "tags"), ()),
    "config_contract_rates": (
        ("provider", "account"),
        ("model", "token_class", "mode", "context_window", "region"),
    ),
}


@dataclass(frozen=True)
class _History:
    """The fold of all versions into one table. Without an `owner` a row is all there is to say: it is so, or is not."""

    extract: Callable[[Config], Iterator[Row]]
    owner: tuple[str, ...]
    further: tuple[str, ...]

    def of(self, versions: Sequence[Version]) -> list[Row]:
        """The rows, each with the days on which it is valid. Equal neighbours are one row."""
        known: _Said = {}
        said_before: _Said = {}
        days_before: frozenset[Hashable] = frozenset()
        for version in versions:
            said = self._said(version.config)
            for thing in {**known, **said}:
                now = said.get(thing, [])
                if not version.amends and now == said_before.get(thing, []):
                    continue
                before = _cut(known.get(thing, []), date.min, version.from_date)
                if self.owner and not version.amends:
                    before = self._dated(before, now, version.from_date, days_before)
                known[thing] = _joined([*before, *_cut(now, version.from_date, date.max)])
            said_before, days_before = said, frozenset(_days_said(version.config))
        return [_valid(span) for spans in known.values() for span in spans]

    def _said(self, config: Config) -> _Said:
        """What one version says of each thing, of all days."""
        said: _Said = {}
        for row in self.extract(config):
            start, end = row.pop("valid_from_date", None) or date.min, row.pop("valid_to_date", None) or date.max
            thing = tuple(row[column] for column in (*self.owner, *self.further)) if self.owner else tuple(row.values())
            spans = said.setdefault(thing, [])
            if _Span(start, end, row) not in spans:
                spans.append(_Span(start, end, row))
        return {thing: sorted(spans, key=lambda span: span.start) for thing, spans in said.items()}

    def _dated(self, before: _Spans, now: _Spans, until: date, days_before: frozenset[Hashable]) -> _Spans:
        """The days before an edit. Only a `from` or a `to` that the version before did not say changes them, as dated.

        What else an edit says, it says of the days from when it landed: so a price changed in its place prices no past.
        """

        def is_new(day: date, row: Row) -> bool:
            return day not in (date.min, date.max) and (*(row[name] for name in self.owner), day) not in days_before

        spans = before
        for span, following in pairwise([*now, _Span(until, until, {})]):
            if is_new(span.start, span.row):
                spans = _over(spans, span.start, min(span.end, until), [span])
            if is_new(span.end, span.row):
                spans = _over(spans, span.end, min(following.start, until), [])
        return spans


def _days_said(config: Config) -> Iterator[Hashable]:
    """Every `from` and `to` of a version, after whose it is."""
    for resource in config.gpu_resources:
        yield resource.issuer, resource.resource_id, resource.valid_from
        yield resource.issuer, resource.resource_id, resource.valid_to
    for deployment in config.deployments:
        yield deployment.deployment, deployment.valid_from
    for contract in config.contracts:
        yield contract.provider, contract.account, contract.valid_from
        yield contract.provider, contract.account, contract.valid_to
    for model in config.models:
        yield model.provider, model.model, model.valid_from
        yield model.provider, model.model, model.valid_to
    for budget in config.budgets:
        yield *budget.scope, budget.valid_from
        yield *budget.scope, budget.valid_to
    for service in config.per_use:
        yield service.service, service.valid_from
        yield service.service, service.valid_to
    for said in config.ownership:
        matched = _owned(said)
        yield *matched.values(), said.valid_from
        yield *matched.values(), said.valid_to


def _over(spans: _Spans, start: date, end: date, others: _Spans) -> _Spans:
    """The first, with what the others say of the days [start, end)."""
    if start >= end:
        return spans
    return [*_cut(spans, date.min, start), *_cut(others, start, end), *_cut(spans, end, date.max)]


def _cut(spans: Iterable[_Span], start: date, end: date) -> _Spans:
    """What is said of the days [start, end)."""
    cut = [_Span(max(span.start, start), min(span.end, end), span.row) for span in spans]
    return [span for span in cut if span.start < span.end]


def _joined(spans: _Spans) -> _Spans:
    joined: _Spans = []
    for span in spans:
        if joined and joined[-1].end == span.start and joined[-1].row == span.row:
            joined[-1] = joined[-1]._replace(end=span.end)
        else:
            joined.append(span)
    return joined


def _valid(span: _Span) -> Row:
    return {
        **span.row,
        "valid_from_date": None if span.start == date.min else span.start,
        "valid_to_date": None if span.end == date.max else span.end,
    }


def _sources(config: Config, datasets: Sequence[Dataset]) -> Iterator[Row]:
    for source in config.sources:
        for dataset in datasets:
            if dataset.source != source.source:
                continue
            lag, currency = source.settle_lag_hours, source.settings.get("currency")
            yield {
                "source": source.source,
                "account": source.account,
                "dataset": dataset.name,
                "issuer": dataset.issuer or source.account,
                "role": _role(source, dataset),
                "measure": dataset.measure,
                "settle_lag_hours": int(dataset.settle_lag.total_seconds() // 3600) if lag is None else lag,
                "settles_days": dataset.bucket == "utc_day" and dataset.measure != "reference",
                "currency": currency if isinstance(currency, str) else None,
                "is_filtered": source.filtered,
            }


def _role(source: SourceConfig, dataset: Dataset) -> str:
    """Only money has a book. What a control meters is a control too: it is counted nowhere, and no day waits for it.
    What somebody rated is one by its nature: the bill itself is another's.
    """
    if dataset.measure in ("billed", "effective"):
        return source.role
    if dataset.measure == "rated":
        return "control"
    if dataset.measure == "reference":
        return "reference"
    return "control" if source.role == "control" else "metered"


def _estimated_bills(config: Config, datasets: Sequence[Dataset]) -> Iterator[Row]:
    """Whose bill a gateway estimates or shapes, by the provider as it names it. No account: nobody's of it is read."""
    rated = {dataset.source for dataset in datasets if dataset.measure in ("rated", "reference")}
    for source in config.sources:
        bills = source.settings.get("bills")
        if source.source not in rated or not isinstance(bills, Mapping):
            continue
        for provider, bill in bills.items():
            issuer, account = (
                (bill.get("issuer"), bill.get("account")) if isinstance(bill, Mapping) else (provider, bill)
            )
            yield {
                "source": source.source,
                "account": source.account,
                "provider": str(provider),
                "bill_issuer": None if account is None else str(issuer),
                "bill_account": None if account is None else str(account),
            }


def _capacity_blocks(config: Config) -> Iterator[Row]:
    """As they are declared now: what was bought lasts as long as it does, whenever somebody wrote it down."""
    for block in config.capacity_blocks:
        yield {
            "account": block.account,
            "reservation_id": block.reservation,
            "invoice_id": block.invoice,
            "block_start_at": block.starts_at.replace(tzinfo=None),
            "block_end_at": block.ends_at.replace(tzinfo=None),
        }


def _gpu_resources(config: Config) -> Iterator[Row]:
    for resource in config.gpu_resources:
        yield {
            "issuer": resource.issuer,
            "resource_id": resource.resource_id,
            "host": resource.host,
            "gpu_count": resource.gpu_count,
            "contract_rate_per_gpu_hour": resource.contract_rate_per_gpu_hour,
            "currency": resource.currency,
            "committed_until_date": resource.committed_until,
            "valid_from_date": resource.valid_from,
            "valid_to_date": resource.valid_to,
        }


def _gpu_pool_hosts(config: Config) -> Iterator[Row]:
    for resource in config.gpu_resources:
        for host in resource.pool:
            yield {
                "issuer": resource.issuer,
                "resource_id": resource.resource_id,
                "host": host,
                "valid_from_date": resource.valid_from,
                "valid_to_date": resource.valid_to,
            }


def _deployments(config: Config) -> Iterator[Row]:
    for deployment in config.deployments:
        capacity = deployment.capacity
        yield {
            "deployment_id": deployment.deployment,
            "model": deployment.model,
            "gpus_per_replica": deployment.gpus_per_replica,
            "minimum_replicas": deployment.minimum_replicas,
            "spare_replicas": deployment.spare_replicas,
            "tokens_per_second": capacity and capacity.tokens_per_second,
            "prefill_tokens_per_second": capacity and capacity.prefill_tokens_per_second,
            "cached_tokens_per_second": capacity and capacity.cached_tokens_per_second,
            "decode_tokens_per_second": capacity and capacity.decode_tokens_per_second,
            "peak_allowance": capacity and _allowance(capacity.peak_allowance),
            "is_peak_allowance_declared": None if capacity is None else capacity.peak_allowance is not None,
            "measured_on": capacity and capacity.measured_on,
            "capacity_source": capacity and capacity.source,
            **served_row(deployment),
            "token_cost_split": deployment.token_costs.split,
            "token_cost_api_model": deployment.token_costs.api_model,
            "input_uncached_weight_ratio": deployment.token_costs.input_uncached,
            "input_cache_read_weight_ratio": deployment.token_costs.input_cache_read,
            "output_weight_ratio": deployment.token_costs.output,
            "valid_from_date": deployment.valid_from,
        }


def _rents(config: Config) -> Iterator[Row]:
    for deployment in config.deployments:
        if deployment.rent is not None:
            yield {
                "deployment_id": deployment.deployment,
                "on_demand_gpu_hour_rate": deployment.rent.on_demand_gpu_hour,
                "reserved_gpu_hour_rate": deployment.rent.reserved_gpu_hour,
                "warm_up_minutes": deployment.rent.warm_up_minutes,
                "start_cost": deployment.rent.start_cost,
                "currency": deployment.rent.currency,
                "valid_from_date": deployment.valid_from,
            }


def served_row(said: Deployment | Candidate) -> Row:
    """Hardware and model of a replica."""
    return {
        "gpu_type": said.gpu,
        "parameters_billions": said.parameters_billions,
        "active_parameters_billions": said.active_parameters_billions,
        "bytes_per_parameter": said.bytes_per_parameter,
        "kv_bytes_per_token": said.kv_bytes_per_token,
        "context_tokens": said.context_tokens,
        "requests_at_once_count": said.requests_at_once,
        "tokens_per_step": said.tokens_per_step,
    }


def _allowance(declared: Decimal | None) -> Decimal:
    return ASSUMED_PEAK_ALLOWANCE if declared is None else declared


def _deployment_hosts(config: Config) -> Iterator[Row]:
    for deployment in config.deployments:
        for host in deployment.hosts:
            yield {"deployment_id": deployment.deployment, "host": host, "valid_from_date": deployment.valid_from}


def _deployment_served_names(config: Config) -> Iterator[Row]:
    for deployment in config.deployments:
        for served_name in deployment.served_names:
            yield {
                "deployment_id": deployment.deployment,
                "served_name": served_name,
                "valid_from_date": deployment.valid_from,
            }


def _deployment_roles(config: Config) -> Iterator[Row]:
    for deployment in config.deployments:
        for engine_role, names in (("prefill", deployment.prefill), ("decode", deployment.decode)):
            for name in names:
                yield {
                    "deployment_id": deployment.deployment,
                    "engine_name": name,
                    "engine_role": engine_role,
                    "valid_from_date": deployment.valid_from,
                }


def _deployment_adapters(config: Config) -> Iterator[Row]:
    for deployment in config.deployments:
        for adapter in deployment.adapters:
            yield {
                "deployment_id": deployment.deployment,
                "adapter": adapter,
                "valid_from_date": deployment.valid_from,
            }


def _workloads(config: Config) -> Iterator[Row]:
    for workload in config.workloads:
        yield {
            "workload": workload.workload,
            "team": workload.team,
            "deployment_id": workload.deployment,
            "api_model": workload.api_model,
            "comparator_model": config.comparator,
            "sampled_week_from_date": config.demand.sampled_week,
            "pinned_to": workload.pinned_to,
            "pin_reason": workload.pin_reason,
            "migration_one_off_cost": workload.migration and workload.migration.one_off,
            "migration_payback_months": workload.migration and workload.migration.payback_months,
            "may_wait_hours": workload.may_wait_hours,
            "movable_share_ratio": workload.movable_share,
            "tokens_per_api_token": workload.tokens_per_api_token,
        }


def _candidates(config: Config) -> Iterator[Row]:
    for workload in config.workloads:
        candidate = workload.candidate
        if candidate is None:
            continue
        yield {
            "workload": workload.workload,
            **served_row(candidate),
            "gpus_per_replica": candidate.gpus_per_replica,
            "gpu_hour_rate": candidate.gpu_hour,
            "tokens_per_second": candidate.tokens_per_second,
            "tokens_per_api_token": candidate.tokens_per_api_token,
            "engineering_hours_per_month": candidate.engineering_hours_per_month,
            "engineering_hour_rate": candidate.engineering_hour,
            "peak_allowance": _allowance(candidate.peak_allowance),
            "currency": candidate.currency,
        }


def _workload_rules(config: Config) -> Iterator[Row]:
    for workload in config.workloads:
        for number, match in enumerate(workload.match, start=1):
            yield {
                "rule_id": f"{workload.workload}#{number}",
                "workload": workload.workload,
                "provider": match.provider,
                "account": match.account,
                "sub_account": match.sub_account,
                "api_key": match.api_key,
                "gateway_key": match.gateway_key,
                "gateway_team": match.gateway_team,
                "model": match.model,
                "served_name": match.served_name,
                "deployment_id": match.deployment,
            }


def _overheads(config: Config) -> Iterator[Row]:
    for overhead in config.overheads:
        yield {
            "item": overhead.item,
            "monthly_cost": overhead.monthly,
            "currency": overhead.currency,
            "deployment_id": overhead.deployment,
        }


def _contracts(config: Config) -> Iterator[Row]:
    for contract in config.contracts:
        yield {
            "provider": contract.provider,
            "account": contract.account,
            "discount_ratio": contract.discount,
            "commitment_cost": contract.commitment,
            "commitment_period": contract.per,
            "minimum_monthly_cost": contract.minimum_monthly,
            "agreed_from_date": contract.valid_from,
            "currency": contract.currency,
            "valid_from_date": contract.valid_from,
            "valid_to_date": contract.valid_to,
        }


def _contract_rates(config: Config) -> Iterator[Row]:
    for contract in config.contracts:
        for rate in contract.rates:
            yield {
                "provider": contract.provider,
                "account": contract.account,
                "model": rate.model,
                "token_class": rate.token_class,
                "mode": rate.mode,
                "context_window": rate.context_window,
                "region": rate.region,
                "cost_per_mtok": rate.per_mtok,
                "currency": contract.currency,
                "valid_from_date": contract.valid_from,
                "valid_to_date": contract.valid_to,
            }


def _models(config: Config) -> Iterator[Row]:
    for model in config.models:
        yield {
            "provider": model.provider,
            "model": model.model,
            "weights": model.weights,
            "precision": model.precision,
            "valid_from_date": model.valid_from,
            "valid_to_date": model.valid_to,
        }


def _budgets(config: Config) -> Iterator[Row]:
    for budget in config.budgets:
        scope, name = budget.scope
        yield {
            "scope": scope,
            "scope_name": name,
            "monthly_cost": budget.monthly,
            "currency": budget.currency,
            "valid_from_date": budget.valid_from,
            "valid_to_date": budget.valid_to,
        }


def _per_use(config: Config) -> Iterator[Row]:
    for one in config.per_use:
        yield {"per_use_service": one.service, "model": one.model, **_days_of(one)}


def _per_use_charges(config: Config) -> Iterator[Row]:
    for one in config.per_use:
        for charges in one.charges:
            yield {
                "per_use_service": one.service,
                "account": charges.account,
                "resource_id": charges.resource_id,
                "service": charges.service,
                "sku": charges.sku,
                "sub_account_id": charges.sub_account,
                **_days_of(one),
            }


def _per_use_tokens(config: Config) -> Iterator[Row]:
    for one in config.per_use:
        for tokens in one.tokens:
            yield {
                "per_use_service": one.service,
                "gateway_account": tokens.gateway,
                "provider": tokens.provider,
                "raw_model": tokens.model,
                **_days_of(one),
            }


def _owned(said: Ownership) -> Row:
    """What a rule matches: its identity."""
    tags = canonical(said.match.tags).decode() if said.match.tags else None
    return {**dict.fromkeys(FIELDS), **said.match.fields, "tags": tags}


def _ownership(config: Config) -> Iterator[Row]:
    for said in config.ownership:
        yield {**_owned(said), **{name: getattr(said, name) for name in ATTRIBUTES}, **_days_of(said)}


def _ownership_tags(config: Config) -> Iterator[Row]:
    for key in sorted({key for said in config.ownership for key in said.match.tags}):
        yield {"tag_key": key}


def _owner_aliases(config: Config) -> Iterator[Row]:
    for alias in config.owner_aliases:
        for attribute in ATTRIBUTES:
            if (now := getattr(alias, attribute)) is not None:
                yield from ({"attribute": attribute, "past_name": was, "present_name": now} for was in alias.was)


def _days_of(one: PerUse | Ownership) -> Row:
    return {"valid_from_date": one.valid_from, "valid_to_date": one.valid_to}


def _company(config: Config) -> Iterator[Row]:
    meter = config.alerts.regret_meter
    yield {
        "company": config.company,
        "reporting_currency": config.reporting_currency,
        "enter_ratio": config.alerts.enter_ratio,
        "exit_ratio": config.alerts.exit_ratio,
        "dwell_days": config.alerts.dwell_days,
        "cooldown_days": config.alerts.cooldown_days,
        "regret_one_off_cost": None if meter is None else meter.one_off,
        "regret_alpha": None if meter is None else meter.alpha,
    }


_EXTRACTS: Mapping[str, Callable[[Config], Iterator[Row]]] = {
    "config_gpu_resources": _gpu_resources,
    "config_gpu_pool_hosts": _gpu_pool_hosts,
    "config_deployments": _deployments,
    "config_rents": _rents,
    "config_deployment_hosts": _deployment_hosts,
    "config_deployment_served_names": _deployment_served_names,
    "config_deployment_roles": _deployment_roles,
    "config_deployment_adapters": _deployment_adapters,
    "config_workloads": _workloads,
    "config_candidates": _candidates,
    "config_workload_rules": _workload_rules,
    "config_overheads": _overheads,
    "config_contracts": _contracts,
    "config_contract_rates": _contract_rates,
    "config_models": _models,
    "config_budgets": _budgets,
    "config_per_use": _per_use,
    "config_per_use_charges": _per_use_charges,
    "config_per_use_tokens": _per_use_tokens,
    "config_ownership": _ownership,
    "config_ownership_tags": _ownership_tags,
    "config_owner_aliases": _owner_aliases,
    "config_company": _company,
}
