"""`breakeven.yaml`: who is who, what serves what, and at which declared rates. Facts only a person knows.

The file a person edits now is held to every rule here. A version that was landed before is read by `landed_config`:
rules change, what was said under older ones stays said.
"""

import functools
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from zoneinfo import ZoneInfo

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from pipeline.errors import ConfigError
from pipeline.ownership import ATTRIBUTES, OwnerRule, rule_name


def _decimal_from_yaml(value: object) -> object:
    """YAML reads 2.69 as a float; its shortest decimal spelling is what the person wrote."""
    return str(value) if isinstance(value, float) else value


# What DECIMAL(38,18) holds exactly: a rate that it cannot hold would be another rate.
Money = Annotated[Decimal, BeforeValidator(_decimal_from_yaml), Field(max_digits=38, decimal_places=18)]


def _not_a_number(value: object) -> object:
    """A number is no day: it would be read as seconds since 1970."""
    if isinstance(value, (int, float)):
        raise ValueError("it must be a date like 2026-10-01")
    return value


Day = Annotated[date, BeforeValidator(_not_a_number)]


def _instant(value: object) -> object:
    """A moment to the second, in UTC. Without its offset it could be any of a day's: it is refused."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError("it must be a moment with its offset, like 2026-10-27T11:30:00Z")
    if value.microsecond:
        raise ValueError("it must be a whole second")
    return value.astimezone(UTC)


def _text_of_number(value: object) -> object:
    """An invoice number is its digits, whether or not somebody put it in quotes."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


InvoiceNumber = Annotated[
    str, BeforeValidator(_text_of_number, json_schema_input_type=str | int), Field(min_length=1, max_length=200)
]
Instant = Annotated[datetime, BeforeValidator(_instant, json_schema_input_type=datetime)]
# A variable's name: never the secret itself, which would be landed with the configuration.
EnvironmentName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,62}$")]


# How much of a replica-hour may be filled where nobody declared it and nothing was measured: assumed, and called so.
ASSUMED_PEAK_ALLOWANCE = Decimal("0.85")

# What a person may write as one entry: both exports of one Admin API, of one key.
BOTH_OF_AN_API: Mapping[str, tuple[str, ...]] = {
    "anthropic_api": ("anthropic_cost_api", "anthropic_usage_api"),
    "openai_api": ("openai_costs_api", "openai_usage_api"),
}


def _one_or_more(value: object) -> object:
    """A single entry stands for a list of it."""
    return [value] if isinstance(value, (str, Mapping)) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_one_or_more, json_schema_input_type=str | tuple[str, ...])]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceConfig(_Section):
    """One configured export: its format, whose account it is, where its files drop, its own settings.

    `anthropic_api` and `openai_api` stand for both exports of that API, what it cost and what was used. `filtered`: the
    export leaves out lines that the invoice has, so that a month ties to the export and not to the invoice. `owner`:
    the team that is told when it is late.
    """

    source: Name
    account: Name
    inbox: str | None = None
    key_env: EnvironmentName | None = None
    base_url: str | None = None
    horizon: Day | None = None
    settle_lag_hours: int | None = Field(default=None, ge=0, le=24 * 60)
    role: Literal["book", "control"] = "book"
    filtered: bool = False
    owner: str | None = None
    settings: dict[str, Any] = Field(default_factory=dict)


class GpuResource(_Section):
    """A billed resource (instance, node, owned machine) and what was agreed about it, valid [from, to).

    `committed_until`: the first day on which it could be given back; until then it is paid for, used or not.
    `pool`: the hosts of one that is billed for several; a GPU on one of them that nothing else tells is its own.
    """

    issuer: Name
    resource_id: str = Field(min_length=1, max_length=200)
    host: str | None = None
    pool: Names = ()
    gpu_count: int = Field(ge=1, le=1024)
    contract_rate_per_gpu_hour: Money | None = Field(default=None, ge=0)
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")
    committed_until: Day | None = None
    valid_from: Day = Field(alias="from")
    valid_to: Day | None = Field(default=None, alias="to")


class CapacityBlock(_Section):
    """A capacity block of AWS's that was paid in advance, and when it lasts [from, to): the line of its fee says not.

    The fee is found by `reservation` (the id of the capacity reservation, or its ARN), by the `invoice` that it alone
    is on, or by both where one reservation has several fees.
    """

    account: Name
    reservation: str | None = Field(default=None, min_length=1, max_length=200)
    invoice: InvoiceNumber | None = None
    starts_at: Instant = Field(alias="from")
    ends_at: Instant = Field(alias="to")

    @property
    def named(self) -> str:
        """How a person names it."""
        said = (self.reservation, None if self.invoice is None else f"invoice {self.invoice}")
        return ", ".join(part for part in said if part is not None)


class Capacity(_Section):
    """Tokens per second one replica sustains within its SLO. Declared with a date and a source, or not at all.

    `tokens_per_second` is of all classes together, at the mix it was measured at. By class is better known, and counts.
    `peak_allowance` is the share of an hour that may be filled so that peaks inside it fit.
    """

    tokens_per_second: Money | None = Field(default=None, gt=0)
    prefill_tokens_per_second: Money | None = Field(default=None, gt=0)
    cached_tokens_per_second: Money | None = Field(default=None, gt=0)
    decode_tokens_per_second: Money | None = Field(default=None, gt=0)
    measured_on: Day
    source: str
    peak_allowance: Money | None = Field(default=None, gt=0, le=1)


class _Served(_Section):
    """What hardware and model a replica is of: with it, what is impossible is refused. What is left out bounds nothing.

    `kv_bytes_per_token` is 2 x layers x key-value heads x head dimension x bytes; `context_tokens` what a request holds
    of its own while its answer is written (its prompt, less what it shares, and half of the answer).
    """

    gpu: str | None = None
    parameters_billions: Money | None = Field(default=None, gt=0)
    active_parameters_billions: Money | None = Field(default=None, gt=0)
    bytes_per_parameter: Money = Field(default=Decimal(2), gt=0, le=4)
    kv_bytes_per_token: Money | None = Field(default=None, gt=0)
    context_tokens: Money | None = Field(default=None, gt=0)
    requests_at_once: int | None = Field(default=None, ge=1, le=10**6)
    tokens_per_step: Money = Field(default=Decimal(1), ge=1, le=64)


class TokenCosts(_Section):
    """How one bill is split over token classes. `gpu_seconds`: as long as each takes, fitted to own saturated hours."""

    split: Literal["gpu_seconds", "api_prices", "fixed_ratio", "token_count"] = "gpu_seconds"
    api_model: str | None = None
    input_uncached: Money | None = Field(default=None, ge=0)
    input_cache_read: Money | None = Field(default=None, ge=0)
    output: Money | None = Field(default=None, ge=0)


class Rent(_Section):
    """How a deployment's GPUs could be rented otherwise than they are billed: by the hour, bound for the whole time,
    started and stopped. `start_cost` is of one replica, beyond its rent while it warms up.
    """

    on_demand_gpu_hour: Money = Field(ge=0)
    reserved_gpu_hour: Money | None = Field(default=None, ge=0)
    warm_up_minutes: int | None = Field(default=None, ge=0, le=60)
    start_cost: Money = Field(default=Decimal(0), ge=0)
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")


class Deployment(_Served):
    """One LLM served on a set of GPUs. A replica is `gpus_per_replica` of them serving one copy.

    `prefill`, `decode`: of a disaggregated one, which engines compute prompts and which generate, by their host, their
    address or what made their pods; where nobody says, their own labels or their counters do. `adapters`: the names
    under which a gateway asks it for its tuned models, beside its own.
    """

    deployment: Name
    model: str
    served_names: Names = ()
    hosts: Names = ()
    prefill: Names = ()
    decode: Names = ()
    adapters: Names = ()
    gpus_per_replica: int = Field(ge=1, le=1024)
    capacity: Capacity | None = None
    minimum_replicas: int = Field(default=1, ge=0, le=1024)
    spare_replicas: int = Field(default=0, ge=0, le=1024)
    token_costs: TokenCosts = TokenCosts()
    rent: Rent | None = None
    valid_from: Day | None = Field(default=None, alias="from")


class ModelWeights(_Section):
    """Which weights a name stands for, valid [from, to): of a `provider`'s API, else of what is served. It goes before
    what is shipped. `precision` is of the weights as they are served: bf16, fp8, mxfp4.
    """

    model: str = Field(min_length=1, max_length=200)
    provider: Name | None = None
    weights: str = Field(min_length=1, max_length=200)
    precision: Name | None = None
    valid_from: Day | None = Field(default=None, alias="from")
    valid_to: Day | None = Field(default=None, alias="to")


class WorkloadMatch(_Section):
    """All named fields must match. A field left out matches anything. `workspace` and `project` are one vendor's or the
    other's word for the same thing: a rule names one of them. `gateway_key` and `gateway_team` are a gateway's own: the
    traffic that the other fields match is split by the gateway's count of each.
    """

    provider: str | None = None
    account: str | None = None
    workspace: str | None = None
    project: str | None = None
    api_key: str | None = None
    gateway_key: str | None = None
    gateway_team: str | None = None
    model: str | None = None
    served_name: str | None = None
    deployment: str | None = None

    @property
    def sub_account(self) -> str | None:
        """The vendor's own division of the account that must match (FOCUS: SubAccountId)."""
        return self.project if self.workspace is None else self.workspace


class Candidate(_Served):
    """A deployment that does not exist yet: whatever is known of it. What is left out is solved for."""

    gpus_per_replica: int | None = Field(default=None, ge=1, le=1024)
    gpu_hour: Money | None = Field(default=None, ge=0)
    tokens_per_second: Money | None = Field(default=None, gt=0)
    tokens_per_api_token: Money | None = Field(default=None, gt=0)
    engineering_hours_per_month: Money | None = Field(default=None, ge=0)
    engineering_hour: Money | None = Field(default=None, ge=0)
    peak_allowance: Money | None = Field(default=None, gt=0, le=1)
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")


class Migration(_Section):
    """What moving a workload costs once, in the reporting currency, and within how many months that has to be paid back
    for a move to be sure enough.
    """

    one_off: Money = Field(gt=0)
    payback_months: int = Field(ge=1, le=120)


Rules = Annotated[tuple[WorkloadMatch, ...], Field(min_length=1)]


class Workload(_Section):
    """Traffic that either lane could serve: what a decision is about.

    `movable_share`: how much of it own GPUs could serve well enough; `tokens_per_api_token`: how many tokens they need
    for one of the API's, for the same task. A verdict takes all of it, token for token; with these it is decided once
    more, where it is on an API alone: of tokens that own GPUs served neither is known, and no verdict sure.
    """

    workload: Name
    team: str | None = None
    match: Annotated[Rules, BeforeValidator(_one_or_more, json_schema_input_type=WorkloadMatch | Rules)]
    deployment: Name | None = None
    candidate: Candidate | None = None
    api_model: str | None = None
    pinned_to: Literal["api", "self_host"] | None = None
    pin_reason: str | None = None
    migration: Migration | None = None
    movable_share: Money | None = Field(default=None, gt=0, le=1)
    tokens_per_api_token: Money | None = Field(default=None, gt=0)
    # Whole hours after the one in which a request came, until which it may be served; a batch of the APIs has 24.
    may_wait_hours: int | None = Field(default=None, ge=1, le=168)


class Demand(_Section):
    """`sampled_week`: the Monday of the week whose minutes say how high demand rises inside the hour, once it is over.

    Left out, it is the newest whole week: name one where the newest is no ordinary one, or where one alone was read
    every half minute or finer.
    """

    sampled_week: Day | None = None


class Overhead(_Section):
    """A fixed monthly cost of self-hosting, itemised."""

    item: str
    monthly: Money = Field(ge=0)
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")
    deployment: Name | None = None


# What is counted and priced apart, of any provider, and how it can be bought.
TOKEN_CLASSES = frozenset(
    {
        "input_uncached", "input_uncached_audio", "input_cache_read", "input_cache_read_audio",
        "input_cache_write_5m", "input_cache_write_30m", "input_cache_write_1h", "input_cache_write_12h",
        "output", "output_audio", "output_image",
    }
)  # fmt: skip
PRICE_MODES = frozenset({"standard", "batch", "fast", "flex", "priority", "scale"})
# Whose bills are read, or whose list prices are known.
PROVIDERS = frozenset({"anthropic", "cerebras", "fireworks", "groq", "openai", "together"})


class ContractRate(_Section):
    """An agreed price of a million tokens. A `context_window` left out is every one of them."""

    model: str = Field(min_length=1)
    token_class: str = Field(min_length=1)
    per_mtok: Money = Field(ge=0)
    mode: str = "standard"
    context_window: str | None = None
    region: str | None = None


class Contract(_Section):
    """What was agreed with an API's provider, valid [from, to): of one account, or of all without a contract of theirs.

    `discount` is off the list price of what `rates` does not name. Of each period, counted from `from`, at least
    `commitment` is due, of each month at least `minimum_monthly`: used up or not.
    """

    provider: Name
    account: Name | None = None
    valid_from: Day = Field(alias="from")
    valid_to: Day | None = Field(default=None, alias="to")
    discount: Money = Field(default=Decimal(0), ge=0, lt=1)
    rates: tuple[ContractRate, ...] = ()
    commitment: Money | None = Field(default=None, ge=0)
    per: Literal["month", "quarter", "year"] = "month"
    minimum_monthly: Money | None = Field(default=None, ge=0)
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")


BUDGET_SCOPES = (*ATTRIBUTES, "model", "workload")


class Budget(_Section):
    """What may be spent a month, valid [from, to): by the whole company, or by one `team`, `cost_centre`, `environment`
    (by the names of now), `model` or `workload`.

    Of a month the amount counts that is valid on its last day. Spent is what APIs bill, clouds bill for models that
    they host, and GPUs cost.
    """

    team: str | None = Field(default=None, min_length=1, max_length=200)
    cost_centre: str | None = Field(default=None, min_length=1, max_length=200)
    environment: str | None = Field(default=None, min_length=1, max_length=200)
    model: str | None = Field(default=None, min_length=1, max_length=200)
    workload: Name | None = None
    # What a month can be held in, whatever the rate to the reporting currency.
    monthly: Money = Field(ge=0, lt=10**14)
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")
    valid_from: Day | None = Field(default=None, alias="from")
    valid_to: Day | None = Field(default=None, alias="to")

    @property
    def scope(self) -> tuple[str, str | None]:
        """What it is of, and its name: the first that is said of BUDGET_SCOPES, else the organisation."""
        return next(
            ((kind, name) for kind in BUDGET_SCOPES if (name := getattr(self, kind)) is not None),
            ("organisation", None),
        )


class PerUseCharges(_Section):
    """Which lines of a bill are of a service that is billed by use. All named fields must match; `account` is that of
    the bill's source, the others are its own columns (of an invoice by lines only `resource_id`).
    """

    account: Name
    resource_id: str | None = Field(default=None, min_length=1, max_length=200)
    service: str | None = Field(default=None, min_length=1, max_length=200)
    sku: str | None = Field(default=None, min_length=1, max_length=200)
    sub_account: str | None = Field(default=None, min_length=1, max_length=200)


class PerUseTokens(_Section):
    """Whose requests in a gateway's log (`litellm_spend_logs`, or an endpoint's own in that form) it served: the log's
    account, and the model as the log names it, less a provider before it.
    """

    gateway: Name
    model: str = Field(min_length=1, max_length=200)
    provider: str | None = Field(default=None, min_length=1, max_length=200)


class PerUse(_Section):
    """An LLM on workers that are billed while they work: serverless GPUs, an endpoint by the worker-second. It is no
    rented GPU: it has no idle hours. Valid [from, to).
    """

    service: Name
    model: str = Field(min_length=1, max_length=200)
    charges: Annotated[
        tuple[PerUseCharges, ...],
        Field(min_length=1),
        BeforeValidator(_one_or_more, json_schema_input_type=PerUseCharges | tuple[PerUseCharges, ...]),
    ]
    tokens: Annotated[
        tuple[PerUseTokens, ...],
        BeforeValidator(_one_or_more, json_schema_input_type=PerUseTokens | tuple[PerUseTokens, ...]),
    ] = ()
    valid_from: Day | None = Field(default=None, alias="from")
    valid_to: Day | None = Field(default=None, alias="to")


OwnerName = Annotated[str, Field(min_length=1, max_length=200)]


class OwnerMatch(_Section):
    """What a charge is known by: all that is named must match. `workspace` and `project` are one vendor's or the
    other's word for the same thing. `resource` is what a bill charges for, `tags` what it is tagged with there.
    `replica` is an engine on a GPU, `namespace` what its name has before the last slash (`cluster/namespace`, maybe).
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
            "namespace": self.namespace,
            "replica_id": self.replica,
        }
        return {name: value for name, value in said.items() if value is not None}


class Ownership(_Section):
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


class OwnerAlias(_Section):
    """What a team, a cost centre or an environment is called now, and what it `was` called: no past row moves."""

    team: OwnerName | None = None
    cost_centre: OwnerName | None = None
    environment: OwnerName | None = None
    was: Annotated[
        tuple[OwnerName, ...],
        Field(min_length=1),
        BeforeValidator(_one_or_more, json_schema_input_type=OwnerName | tuple[OwnerName, ...]),
    ]


class SlackFloor(_Section):
    """What is worth a message: money a month of at least `absolute`, and of this `share` of what it is a part of.

    `absolute` is in the reporting currency.
    """

    absolute: Money = Field(default=Decimal(100), ge=0)
    share: Money = Field(default=Decimal("0.05"), ge=0, le=1)


def _minute_of_day(value: object) -> object:
    """`18:00` as minutes. YAML 1.1 reads it as that number by itself, but `08:00` as text."""
    if isinstance(value, str) and (found := re.fullmatch(r"([01]?[0-9]|2[0-3]):([0-5][0-9])", value)):
        return int(found[1]) * 60 + int(found[2])
    return value


def _time_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, OSError, KeyError):
        raise ValueError(f"{value!r} is no time zone like Europe/Berlin") from None
    return value


Minute = Annotated[int, BeforeValidator(_minute_of_day, json_schema_input_type=str), Field(ge=0, lt=24 * 60)]


class SlackQuietHours(_Section):
    """When nothing is posted but what stops a service: from one local time of day to another, over midnight too."""

    from_minute: Minute = Field(alias="from")
    to_minute: Minute = Field(alias="to")
    time_zone: Annotated[str, AfterValidator(_time_zone)] = "UTC"
    weekends: bool = False


class Accounting(_Section):
    """General-ledger accounts of `breakeven accrue`, as the journal shall name them."""

    api_expense: OwnerName = "API expense"
    gpu_expense: OwnerName = "GPU expense"
    accrued_liabilities: OwnerName = "Accrued liabilities"
    accounts_payable: OwnerName = "Accounts payable"


class Slack(_Section):
    """`teams`: the channel of what is a team's; else `channel`. The last of a week's posts is a digest of the rest."""

    channel: str | None = None
    token_env: EnvironmentName | None = "SLACK_BOT_TOKEN"
    webhook_env: EnvironmentName | None = None
    app_token_env: EnvironmentName | None = "SLACK_APP_TOKEN"
    on_uncertain: Literal["hold", "repost"] = "hold"
    api_url: str | None = None
    floor: SlackFloor = SlackFloor()
    posts_per_week: int = Field(default=2, ge=1, le=100)
    teams: dict[str, str] = Field(default_factory=dict)
    quiet_hours: SlackQuietHours | None = None


# Letters, digits and the few marks that need no quoting: no list, no name beside it, no line of a header.
ADDRESS = r"^[A-Za-z0-9._%+'-]{1,64}@[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$"
Address = Annotated[str, Field(pattern=ADDRESS)]
Addresses = Annotated[
    tuple[Address, ...], BeforeValidator(_one_or_more, json_schema_input_type=str | tuple[Address, ...])
]


class Mail(_Section):
    """The SMTP server by which letters go out. Its password is in the variable `password_env`, never here."""

    host: str = Field(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9.:-]+$")
    port: int = Field(default=587, ge=1, le=65535)
    security: Literal["tls", "starttls", "none"] = "starttls"
    sender: Address = Field(alias="from")
    user: str | None = Field(default=None, pattern=r"^[\x21-\x7e]{1,254}$")
    password_env: EnvironmentName | None = None


class SpendGuard(_Section):
    """Say at once when an hour of a key's use of a model is `multiple` times what that hour of the week was, and
    `floor` above it: by counters at list prices, in the reporting currency an hour. Needs a run each hour.
    """

    multiple: Money = Field(default=Decimal(3), gt=1, le=1000)
    floor: Money = Field(default=Decimal(50), gt=0)


class OutletConfig(_Section):
    """Where cases are told beside Slack: a webhook whose URL is in `url_env`, or letters to `to` by `mail`.

    Each outlet is told each case once, by itself. Floor, quiet hours and posts a week are those of `slack`.
    `only_teams`: no cases but those of these teams.
    """

    name: Name
    kind: Literal["webhook", "teams", "discord", "email"]
    url_env: EnvironmentName | None = None
    to: Addresses = ()
    only_teams: Names = ()
    on_uncertain: Literal["hold", "repost"] = "hold"


class Reports(_Section):
    """What the monthly job makes of each month, where it puts it, and to whom it is mailed once it is settled.

    `statements`: then too, of each team or cost centre and of what none owns, beside it and where it is published.
    """

    formats: Annotated[
        tuple[Literal["html", "pdf", "md", "xlsx", "csv", "parquet"], ...], BeforeValidator(_one_or_more)
    ] = ("html", "pdf", "md", "xlsx", "csv", "parquet")
    statements: Annotated[
        tuple[Literal["team", "cost_centre"], ...],
        BeforeValidator(_one_or_more, json_schema_input_type=str | tuple[str, ...]),
    ] = ()
    publish: str | None = Field(default=None, min_length=1)
    mail_to: Addresses = ()


class RegretMeter(_Section):
    """Change sides once waiting has cost `alpha` times what a migration costs, in the reporting currency."""

    one_off: Money = Field(gt=0)
    alpha: Money = Field(default=Decimal(1), gt=0, le=100)


class AlertRule(_Section):
    """Hysteresis of the announced state, or a regret meter in its stead (economics.md section 10)."""

    enter_ratio: Money = Decimal("1.10")
    exit_ratio: Money = Decimal("0.90")
    dwell_days: int = Field(default=7, ge=1, le=3650)
    cooldown_days: int = Field(default=14, ge=0, le=3650)
    regret_meter: RegretMeter | None = None


class Config(_Section):
    """The whole of `breakeven.yaml`."""

    company: str
    reporting_currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")
    state: str = ".breakeven"
    comparator: str | None = None
    sources: tuple[SourceConfig, ...] = ()
    gpu_resources: tuple[GpuResource, ...] = ()
    capacity_blocks: tuple[CapacityBlock, ...] = ()
    deployments: tuple[Deployment, ...] = ()
    workloads: tuple[Workload, ...] = ()
    demand: Demand = Demand()
    overheads: tuple[Overhead, ...] = ()
    contracts: tuple[Contract, ...] = ()
    models: tuple[ModelWeights, ...] = ()
    budgets: tuple[Budget, ...] = ()
    per_use: tuple[PerUse, ...] = ()
    ownership: tuple[Ownership, ...] = ()
    owner_aliases: tuple[OwnerAlias, ...] = ()
    accounting: Accounting = Accounting()
    slack: Slack = Slack()
    mail: Mail | None = None
    outlets: tuple[OutletConfig, ...] = ()
    spend_guard: SpendGuard | None = None
    reports: Reports = Reports()
    alerts: AlertRule = AlertRule()


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice, instead of silently keeping the last."""


def _mapping_without_duplicates(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[object] = set()
    for key_node, _ in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            line = key_node.start_mark.line + 1
            raise ConfigError(key=f"(line {line})", value="a list or a mapping", fix="A key is a single word.")
        key = loader.construct_object(key_node, deep=True)
        if key in seen:
            raise ConfigError(
                key=str(key),
                value="given twice",
                fix=f"Keep one of them (line {key_node.start_mark.line + 1}).",
            )
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping_without_duplicates)


def load_config(path: Path) -> Config:
    """Read and check `breakeven.yaml`. Raises ConfigError naming the key, the value and the fix."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            key="(file)",
            value=str(path.name),
            fix="No such file here. Run in the project's folder or pass --project FOLDER.",
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            key="(file)", value=f"not UTF-8 at byte {error.start}", fix="Save it as UTF-8 in your editor."
        ) from None
    return parse_config(text)


def parse_config(text: str) -> Config:
    """`breakeven.yaml` from its text."""
    try:
        raw = yaml.load(text, Loader=_StrictLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "somewhere"
        problem = getattr(error, "problem", None) or "not YAML"
        raise ConfigError(key=f"({where})", value=problem, fix="Mend the YAML there.") from None
    except ValueError as error:
        # What looks like a date or a number to YAML and is none.
        raise ConfigError(key="(file)", value=str(error), fix="Look for a date that no calendar has.") from None
    except RecursionError:
        raise ConfigError(key="(file)", value="nested too deep", fix="Look for a bracket that is not closed.") from None
    if not isinstance(raw, dict):
        raise ConfigError(
            key="(file)", value=type(raw).__name__, fix="It must be a mapping that starts with `company:`."
        )
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        raise _as_config_error(error, raw) from None
    config = _written_out(config)
    _check_references(config)
    return config


def _written_out(config: Config) -> Config:
    """Every entry that stands for several as these; what is landed, and all that reads it, knows no short forms."""
    sources = tuple(
        source.model_copy(update={"source": name})
        for source in config.sources
        for name in BOTH_OF_AN_API.get(source.source, (source.source,))
    )
    return config.model_copy(update={"sources": sources})


def _as_config_error(error: ValidationError, raw: Mapping[str, Any]) -> ConfigError:
    # A key that does not exist is most often the one that is missing, misspelt: say that first.
    first = min(error.errors(include_url=False), key=lambda found: found["type"] != "extra_forbidden")
    key = ".".join(str(part) for part in first["loc"])
    # Whoever pastes a key where its variable's name belongs must not find it in a log.
    value = "(not shown)" if key.endswith("_env") else first.get("input")
    if key.endswith("_env") and first["type"] == "string_pattern_mismatch":
        return ConfigError(key=key, value=value, fix="It must be the name of an environment variable, not its value.")
    if first["type"] == "extra_forbidden":
        return ConfigError(key=key, value=value, fix=f"No such key. {_known_keys(first['loc'], raw)}")
    if first["type"] == "missing":
        return ConfigError(key=key, value="missing", fix="It is required here.")
    return ConfigError(key=key, value=value, fix=f"{first['msg']}.")


def _known_keys(location: Sequence[int | str], raw: Mapping[str, Any]) -> str:
    """The keys that exist where an unknown one was met, nearest spelling first."""
    import difflib

    model: type[BaseModel] | None = Config
    for part in location[:-1]:
        if isinstance(part, int) or model is None:
            continue
        model = _section_named(model, part)
    if model is None:
        return "Remove it."
    known = [key for key, _ in _fields(model)]
    near = difflib.get_close_matches(str(location[-1]), known, n=1)
    return f"Did you mean {near[0]!r}?" if near else f"Known here: {', '.join(known)}."


def _section_named(model: type[BaseModel], name: str) -> type[BaseModel] | None:
    return next((_section_of(field) for key, field in _fields(model) if key == name), None)


def _fields(model: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    """Every key as a person writes it, and its field."""
    for name, field in model.model_fields.items():
        yield field.alias or name, field


def _section_of(field: FieldInfo) -> type[BaseModel] | None:
    """The section a field holds, alone or in a list; None for a plain value."""
    for candidate in (field.annotation, *typing.get_args(field.annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


@dataclass(frozen=True)
class _Problem:
    """An entry that the rest of the configuration does not allow, and the error that says so."""

    where: tuple[str | int, ...]
    error: ConfigError


def _check_references(config: Config) -> None:
    """Names that must be unique are, and names that point at something do."""
    for problem in (*_contradictions(config), *_loose_ends(config)):
        raise problem.error


def _contradictions(config: Config) -> Iterator[_Problem]:
    """Entries that cannot hold beside an earlier one, or in themselves: counted both, they would count double."""
    yield from _declared_twice("sources", [f"{source.source}/{source.account}" for source in config.sources])
    yield from _declared_twice("deployments", [deployment.deployment for deployment in config.deployments])
    yield from _declared_twice("workloads", [workload.workload for workload in config.workloads])
    yield from _bad_intervals("gpu_resources", [((one.issuer, one.resource_id), one) for one in config.gpu_resources])
    yield from _bad_intervals("contracts", [((one.provider, one.account), one) for one in config.contracts])
    yield from _bad_intervals("models", [((one.provider, one.model.lower()), one) for one in config.models])
    yield from _bad_intervals("budgets", [(one.scope, one) for one in config.budgets])
    yield from _bad_intervals("per_use", [((one.service,), one) for one in config.per_use])
    yield from _bad_intervals("ownership", [((one.rule.name,), one) for one in config.ownership])
    yield from _owners_of_one_charge(config.ownership)
    yield from _blocks_of_one_fee(config.capacity_blocks)
    for index, budget in enumerate(config.budgets):
        of = [name for name in BUDGET_SCOPES if getattr(budget, name) is not None]
        if len(of) > 1:
            fix = f"A budget is of one thing: keep one of {', '.join(of)}. Who wants both writes two budgets."
            yield _problem("budgets", index, of[1], value=getattr(budget, of[1]), fix=fix)
    for index, contract in enumerate(config.contracts):
        yield from _rates_said_twice(index, contract)
    for index, workload in enumerate(config.workloads):
        for number, match in enumerate(workload.match):
            if match.workspace is not None and match.project is not None:
                yield _problem(
                    "workloads", index, "match", number, "project",
                    value=match.project,
                    fix="`workspace` and `project` are one vendor's and the other's word for the same thing. Keep one.",
                )  # fmt: skip


# AWS sells blocks for up to six months (community.aws, Extending AWS Capacity Blocks, read 2026-11-30).
_LONGEST_BLOCK = timedelta(days=366)


def _blocks_of_one_fee(blocks: Sequence[CapacityBlock]) -> Iterator[_Problem]:
    """A block lasts for a while, is known by something, and a fee is of one block."""
    for index, block in enumerate(blocks):
        if block.reservation is None and block.invoice is None:
            fix = "Say which fee is its: its `reservation`, or the `invoice` that it alone is on."
            yield _problem("capacity_blocks", index, value=block.account, fix=fix)
            continue
        if not timedelta(0) < block.ends_at - block.starts_at <= _LONGEST_BLOCK:
            fix = f"It must be after `from`, which is {block.starts_at:%Y-%m-%dT%H:%M:%SZ}, by a year or less."
            yield _problem("capacity_blocks", index, "to", value=f"{block.ends_at:%Y-%m-%dT%H:%M:%SZ}", fix=fix)
            continue
        for number, earlier in enumerate(blocks[:index]):
            if _may_be_of_one_fee(earlier, block):
                fix = (
                    f"A fee of it would be of entry {number} too, which is {earlier.named}. Say in both which "
                    "`invoice` is which."
                )
                yield _problem("capacity_blocks", index, value=block.named, fix=fix)
            elif (
                block.reservation is not None
                and (block.account, block.reservation) == (earlier.account, earlier.reservation)
                and block.starts_at < earlier.ends_at
                and earlier.starts_at < block.ends_at
            ):
                fix = f"It overlaps entry {number} of the same reservation: one of the two periods is wrong."
                yield _problem("capacity_blocks", index, value=block.named, fix=fix)


def _may_be_of_one_fee(one: CapacityBlock, other: CapacityBlock) -> bool:
    """Whether all that is a fee of one of them, for sure, is one of the other too: it says no more than that does."""
    if one.account != other.account:
        return False
    said = [(one.reservation, other.reservation), (one.invoice, other.invoice)]
    return all(a is None or a == b for a, b in said) or all(b is None or a == b for a, b in said)


def _loose_ends(config: Config) -> Iterator[_Problem]:
    """What points at nothing, or lacks its reason: a slip now, and without effect where it was said long ago."""
    accounts = {source.account for source in config.sources}
    for index, block in enumerate(config.capacity_blocks):
        if block.account not in accounts:
            fix = f"No source is of that account. Declared: {', '.join(sorted(accounts)) or 'none'}."
            yield _problem("capacity_blocks", index, "account", value=block.account, fix=fix)
    deployments = {deployment.deployment for deployment in config.deployments}
    no_such = f"No such deployment. Declared: {', '.join(sorted(deployments)) or 'none'}."
    for index, workload in enumerate(config.workloads):
        if workload.deployment is not None and workload.deployment not in deployments:
            yield _problem("workloads", index, "deployment", value=workload.deployment, fix=no_such)
        for number, match in enumerate(workload.match):
            if match.deployment is not None and match.deployment not in deployments:
                yield _problem("workloads", index, "match", number, "deployment", value=match.deployment, fix=no_such)
        if workload.deployment is not None and workload.candidate is not None:
            fix = "It has a deployment, which is measured. Keep one of the two."
            yield _problem("workloads", index, "candidate", value=workload.workload, fix=fix)
        candidate = workload.candidate
        yield from _more_active_than_held(candidate, "workloads", index, "candidate")
        if candidate is not None and candidate.engineering_hours_per_month and candidate.engineering_hour is None:
            fix = "Say in engineering_hour what one costs: hours without a rate would cost nothing."
            yield _problem(
                "workloads", index, "candidate", "engineering_hours_per_month",
                value=candidate.engineering_hours_per_month, fix=fix,
            )  # fmt: skip
        if workload.pinned_to is not None and not workload.pin_reason:
            fix = "A pinned workload says why in pin_reason."
            yield _problem("workloads", index, "pin_reason", value="missing", fix=fix)
        if workload.may_wait_hours is not None and workload.deployment is None:
            fix = "What may wait, waits for replicas: name in `deployment` the one that would serve it."
            yield _problem("workloads", index, "may_wait_hours", value=workload.may_wait_hours, fix=fix)
    week = config.demand.sampled_week
    if week is not None and week.isoweekday() != 1:
        fix = f"A week is named by its Monday: {week - timedelta(days=week.isoweekday() - 1)}."
        yield _problem("demand", "sampled_week", value=week.isoformat(), fix=fix)
    if week is not None and not 2000 <= week.year < 2100:
        yield _problem("demand", "sampled_week", value=week.isoformat(), fix="Name a week that is or will be sampled.")
    adapters: dict[str, str] = {}
    for index, deployment in enumerate(config.deployments):
        for adapter in deployment.adapters:
            if adapters.setdefault(adapter, deployment.deployment) != deployment.deployment:
                fix = f"It is one of {adapters[adapter]} too: a log's requests of this name would be of both. Keep one."
                yield _problem("deployments", index, "adapters", value=adapter, fix=fix)
        both = sorted(set(deployment.prefill) & set(deployment.decode))
        if both:
            fix = "It is under prefill too. An engine that does both is under neither."
            yield _problem("deployments", index, "decode", value=both[0], fix=fix)
        yield from _more_active_than_held(deployment, "deployments", index)
        yield from _split_by_nothing(deployment.token_costs, "deployments", index, "token_costs")
        rent = deployment.rent
        if rent is not None and rent.reserved_gpu_hour is None and rent.warm_up_minutes is None:
            fix = "Say what to weigh it against: reserved_gpu_hour, or warm_up_minutes of a replica that is started."
            yield _problem("deployments", index, "rent", value="on demand alone", fix=fix)
        if rent is not None and rent.start_cost and rent.warm_up_minutes is None:
            fix = "Say in warm_up_minutes how long a replica that starts serves nothing; 0 is an answer."
            yield _problem("deployments", index, "rent", "start_cost", value=rent.start_cost, fix=fix)
    for index, contract in enumerate(config.contracts):
        yield from _unknown_in_contract(index, contract)
    for index, model in enumerate(config.models):
        yield from _unknown_provider(model.provider, "models", index)
    for index, budget in enumerate(config.budgets):
        yield from _budget_of_nobody(index, budget, config)
    for index, service in enumerate(config.per_use):
        yield from _per_use_of_nothing(index, service, config)
    yield from _hosts_of_two_pools(config.gpu_resources)
    yield from _owners_of_nothing(config)
    if config.mail is not None and config.mail.security == "none" and config.mail.password_env is not None:
        fix = "The password would go out unencrypted. Write starttls or tls, or leave password_env out."
        yield _problem("mail", "security", value="none", fix=fix)
    yield from _outlets_of_nothing(config)
    if config.reports.mail_to and config.mail is None:
        fix = "Say in `mail` by which server: host, from, and password_env where it wants a password."
        yield _problem("reports", "mail_to", value=config.reports.mail_to[0], fix=fix)
    for index, overhead in enumerate(config.overheads):
        if overhead.deployment is not None and overhead.deployment not in deployments:
            yield _problem("overheads", index, "deployment", value=overhead.deployment, fix=no_such)


def _outlets_of_nothing(config: Config) -> Iterator[_Problem]:
    """An outlet that could tell nobody, or two that would take each other's cases for told."""
    names: set[str] = set()
    for index, outlet in enumerate(config.outlets):
        if outlet.name in names:
            yield _problem("outlets", index, "name", value=outlet.name, fix="Another outlet is called so. Rename one.")
        names.add(outlet.name)
        if outlet.kind == "email":
            if not outlet.to:
                yield _problem("outlets", index, "to", value="nobody", fix="Name the addresses that letters go to.")
            if config.mail is None:
                fix = "Say in `mail` by which server: host, from, and password_env where it wants a password."
                yield _problem("outlets", index, "kind", value="email", fix=fix)
        elif outlet.url_env is None:
            fix = "Name the environment variable that holds the webhook's URL. The URL itself is a secret."
            yield _problem("outlets", index, "url_env", value="not said", fix=fix)


def _unknown_in_contract(index: int, contract: Contract) -> Iterator[_Problem]:
    """A rate of what is never bought, or a currency that nobody pays in, would silently price nothing."""
    for number, rate in enumerate(contract.rates):
        for key, value, known in (
            ("token_class", rate.token_class, TOKEN_CLASSES),
            ("mode", rate.mode, PRICE_MODES),
        ):
            if value not in known:
                fix = f"Known here: {', '.join(sorted(known))}."
                yield _problem("contracts", index, "rates", number, key, value=value, fix=fix)
    yield from _unknown_provider(contract.provider, "contracts", index)
    yield from _unknown_currency(contract.currency, "contracts", index)


def _unknown_provider(provider: str | None, *where: str | int) -> Iterator[_Problem]:
    """What is said of a provider whose bills and prices nobody reads would be of nothing."""
    if provider is not None and provider not in PROVIDERS:
        fix = f"Nothing is billed or priced by this name. Known here: {', '.join(sorted(PROVIDERS))}."
        yield _problem(*where, "provider", value=provider, fix=fix)


def _unknown_currency(currency: str, *where: str | int) -> Iterator[_Problem]:
    if currency not in _currencies():
        fix = "No currency has this code. Write its three letters of ISO 4217, as USD or EUR."
        yield _problem(*where, "currency", value=currency, fix=fix)


def _budget_of_nobody(index: int, budget: Budget, config: Config) -> Iterator[_Problem]:
    """A budget whose owner or workload is misspelt would never be spent."""
    known: dict[str, set[str | None]] = {
        **{name: {getattr(said, name) for said in (*config.ownership, *config.owner_aliases)} for name in ATTRIBUTES},
        "workload": {workload.workload for workload in config.workloads},
    }
    known["team"] |= {workload.team for workload in config.workloads}
    kind, name = budget.scope
    had = {was for alias in config.owner_aliases if getattr(alias, kind, None) is not None for was in alias.was}
    if kind in known and name not in known[kind] | had:
        declared = sorted(one for one in known[kind] if one is not None)
        fix = f"No such {kind.replace('_', ' ')}. Declared: {', '.join(declared) or 'none'}."
        yield _problem("budgets", index, kind, value=name, fix=fix)
    yield from _unknown_currency(budget.currency, "budgets", index)


# What bills by lines, and what logs requests: where the charges and the tokens of a per-use service stand.
_BILLS = frozenset(
    {
        "aws_cur", "aws_cur2", "azure_cost_details", "digitalocean_invoices", "focus", "gcp_billing_export",
        "gcp_cost_table", "invoice_csv", "modal_billing_csv", "oci_cost_report", "runpod_billing", "vast_charges",
    }
)  # fmt: skip
_GATEWAYS = frozenset({"litellm_spend_logs"})


def _per_use_of_nothing(index: int, service: PerUse, config: Config) -> Iterator[_Problem]:
    """A service whose bill or log nobody reads, or whose lines are a rented GPU's too."""
    bills = {source.account for source in config.sources if source.source in _BILLS}
    gateways = {source.account for source in config.sources if source.source in _GATEWAYS}
    rented = {resource.resource_id for resource in config.gpu_resources}
    for number, charges in enumerate(service.charges):
        if charges.account not in bills:
            fix = f"No bill by lines has this account. Configured: {', '.join(sorted(bills)) or 'none'}."
            yield _problem("per_use", index, "charges", number, "account", value=charges.account, fix=fix)
        if charges.resource_id in rented:
            fix = "It is in gpu_resources, where every hour counts, used or not. Keep one of the two."
            yield _problem("per_use", index, "charges", number, "resource_id", value=charges.resource_id, fix=fix)
    for number, tokens in enumerate(service.tokens):
        if tokens.gateway not in gateways:
            fix = f"No log of requests has this account. Configured: {', '.join(sorted(gateways)) or 'none'}."
            yield _problem("per_use", index, "tokens", number, "gateway", value=tokens.gateway, fix=fix)


def _owners_of_one_charge(rules: Sequence[Ownership]) -> Iterator[_Problem]:
    """Rules that are nothing, say nothing, or of which two could own one charge alike."""
    earlier: list[OwnerRule] = []
    for index, said in enumerate(rules):
        match, rule = said.match, said.rule
        if match.workspace is not None and match.project is not None:
            fix = "`workspace` and `project` are one vendor's and the other's word for the same thing. Keep one."
            yield _problem("ownership", index, "match", "project", value=match.project, fix=fix)
        elif not rule.fields and not rule.tags:
            fix = "It names nothing. Name what a charge is known by: account, project, api_key, tags, ..."
            yield _problem("ownership", index, "match", value="empty", fix=fix)
        elif not rule.says:
            fix = f"It says nothing of it. Give {', '.join(ATTRIBUTES[:-1])} or {ATTRIBUTES[-1]}."
            yield _problem("ownership", index, value=rule.name, fix=fix)
        else:
            tied = next((other for other in earlier if other.name != rule.name and rule.is_tied_with(other)), None)
            if tied is not None:
                fix = (
                    f"A charge can match it and {tied.name}, and neither is the narrower. Name in one what both are of."
                )
                yield _problem("ownership", index, value=rule.name, fix=fix)
            earlier.append(rule)


def _owners_of_nothing(config: Config) -> Iterator[_Problem]:
    """Rules that point at nothing declared, and names that would be two at once."""
    known = {
        "account": {source.account for source in config.sources},
        "workload": {workload.workload for workload in config.workloads},
        "deployment": {deployment.deployment for deployment in config.deployments},
    }
    teams = {workload.workload: workload.team for workload in config.workloads}
    for index, said in enumerate(config.ownership):
        for key, names in known.items():
            name = getattr(said.match, key)
            if name is not None and name not in names:
                fix = f"No such {key}. Declared: {', '.join(sorted(names)) or 'none'}."
                yield _problem("ownership", index, "match", key, value=name, fix=fix)
        of = said.match.workload
        if of is not None and said.rule.fields.keys() == {"workload"} and said.team and teams.get(of):
            fix = f"The workload says `team: {teams[of]}` itself. Say it in one place."
            yield _problem("ownership", index, "team", value=said.team, fix=fix)
    for attribute in ATTRIBUTES:
        now = {getattr(alias, attribute) for alias in config.owner_aliases}
        seen: set[str] = set()
        for index, alias in enumerate(config.owner_aliases):
            for name in alias.was if getattr(alias, attribute) is not None else ():
                if name in now or name in seen:
                    fix = "A name was called one thing: write each past name once, under the newest one."
                    yield _problem("owner_aliases", index, "was", value=name, fix=fix)
                seen.add(name)
    for index, alias in enumerate(config.owner_aliases):
        said_of = [name for name in ATTRIBUTES if getattr(alias, name) is not None]
        if len(said_of) != 1:
            fix = f"It is of one thing: give {', '.join(ATTRIBUTES[:-1])} or {ATTRIBUTES[-1]}."
            yield _problem("owner_aliases", index, value=", ".join(said_of) or "nothing", fix=fix)


def _hosts_of_two_pools(resources: Sequence[GpuResource]) -> Iterator[_Problem]:
    """A GPU is paid for by one resource: of two pools with its host nobody could say which."""
    pools: dict[str, list[GpuResource]] = {}
    for index, resource in enumerate(resources):
        for host in resource.pool:
            other = next((one for one in pools.get(host, ()) if _overlap(one, resource)), None)
            if other is not None:
                fix = f"It is in the pool of {other.resource_id} too, on the same days. Keep one, or give one a `to`."
                yield _problem("gpu_resources", index, "pool", value=host, fix=fix)
            pools.setdefault(host, []).append(resource)


def _currencies() -> frozenset[str]:
    # Here, because only who has a contract waits for it.
    from babel.numbers import list_currencies

    return frozenset(list_currencies())


def _split_by_nothing(said: TokenCosts, *where: str | int) -> Iterator[_Problem]:
    """A split that lacks what it goes by."""
    if said.split == "api_prices" and said.api_model is None:
        fix = "Name the api_model whose prices the classes are split like."
        yield _problem(*where, "split", value=said.split, fix=fix)
    ratio = (said.input_uncached, said.input_cache_read, said.output)
    if said.split == "fixed_ratio" and (None in ratio or not any(ratio)):
        fix = "Give input_uncached, input_cache_read and output what one token of each weighs, one of them above 0."
        yield _problem(*where, "split", value=said.split, fix=fix)


def _more_active_than_held(served: _Served | None, *where: str | int) -> Iterator[_Problem]:
    """Of a mixture of experts a token computes a part of what is held."""
    if served is None or served.active_parameters_billions is None:
        return
    total = served.parameters_billions
    if total is None or total < served.active_parameters_billions:
        fix = f"They are a part of parameters_billions, which is {total or 'missing'}."
        yield _problem(*where, "active_parameters_billions", value=served.active_parameters_billions, fix=fix)


def _problem(*where: str | int, value: object, fix: str) -> _Problem:
    return _Problem(where, ConfigError(key=".".join(map(str, where)), value=value, fix=fix))


def _declared_twice(section: str, names: Sequence[str]) -> Iterator[_Problem]:
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            error = ConfigError(key=section, value=name, fix="Declared twice. Rename or remove one.")
            yield _Problem((section, index), error)
        seen.add(name)


_Dated = GpuResource | Contract | ModelWeights | Budget | PerUse | Ownership
_Thing = tuple[str | None, ...]


def _bad_intervals(section: str, entries: Sequence[tuple[_Thing, _Dated]]) -> Iterator[_Problem]:
    """A thing is what it is on a day once: intervals are not empty and do not overlap."""
    held: dict[_Thing, list[_Dated]] = {}
    for index, (thing, entry) in enumerate(entries):
        if entry.valid_to is not None and entry.valid_to <= (entry.valid_from or date.min):
            yield _problem(
                section, index, "to",
                value=entry.valid_to.isoformat(),
                fix=f"It must be after `from`, which is {entry.valid_from}; `to` is the first day that is out.",
            )  # fmt: skip
            continue
        of_the_same = held.setdefault(thing, [])
        overlapped = next((earlier for earlier in of_the_same if _overlap(earlier, entry)), None)
        if overlapped is None:
            of_the_same.append(entry)
            continue
        yield _problem(
            section, index,
            value=f"{'/'.join(part for part in thing if part is not None)} from {entry.valid_from or 'always'}",
            fix=f"It overlaps the one from {overlapped.valid_from or 'always'}. Give the earlier one a `to`.",
        )  # fmt: skip


def _overlap(one: _Dated, other: _Dated) -> bool:
    starts = one.valid_from or date.min, other.valid_from or date.min
    return starts[0] < (other.valid_to or date.max) and starts[1] < (one.valid_to or date.max)


def _rates_said_twice(index: int, contract: Contract) -> Iterator[_Problem]:
    """A token has one agreed price."""
    seen: set[tuple[str | None, ...]] = set()
    for number, rate in enumerate(contract.rates):
        of = (rate.model, rate.token_class, rate.mode, rate.context_window, rate.region)
        if of in seen:
            named = " ".join(part for part in of if part is not None)
            yield _problem("contracts", index, "rates", number, value=named, fix="It has a rate already. Keep one.")
        seen.add(of)


@dataclass(frozen=True)
class LandedConfig:
    """A landed version as this release reads it.

    `config` is None where the version as a whole cannot be read. `left_out`: each entry that cannot, with its reason.
    """

    config: Config | None
    left_out: tuple[str, ...] = ()


def landed_config(said: object) -> LandedConfig:
    """A version of `breakeven.yaml` as any release landed it. Raises nothing: what was said stays readable for ever.

    Unknown keys are ignored and missing ones have their defaults. An entry of a list, or a section, is read whole or
    left out with its reason, since half of it would be another statement. Of two that contradict each other the first
    counts. A key that a release renames is unknown here: that release reads the old name too.
    """
    try:
        config = Config.model_validate(said)
    except ValidationError:
        return _leniently(said)
    return LandedConfig(config) if next(_contradictions(config), None) is None else _leniently(said)


_Read = TypeVar("_Read", bound=BaseModel)
# Rules about how a text is spelled. An older release had others, and a name is only ever compared.
_SPELLING = frozenset({"string_pattern_mismatch", "string_too_short", "string_too_long"})
_SHOWN_CHARACTERS = 60


class _UnreadableError(Exception):
    """An entry that cannot be read, and why."""


def _leniently(said: object) -> LandedConfig:
    left_out: list[str] = []
    try:
        config = _entry(Config, {"company": "", **said} if isinstance(said, dict) else said, "", left_out)
    except _UnreadableError as error:
        return LandedConfig(None, (str(error),))
    problems = list(_contradictions(config))
    left_out += [str(problem.error).removeprefix("breakeven.yaml: ") for problem in problems]
    return LandedConfig(_without(config, [problem.where for problem in problems]), tuple(left_out))


def _entry(model: type[_Read], said: object, where: str, left_out: list[str]) -> _Read:
    """A section, or an entry of a list. _UnreadableError where a value of its own cannot be read."""
    if not isinstance(said, Mapping):
        raise _UnreadableError(f"{where or 'what was landed'} is {_shortly(said, where)}, not a mapping")
    fields = dict(_fields(model))
    unknown = [key for key in said if key not in fields and said[key] is not None]
    if model in (WorkloadMatch, OwnerMatch) and unknown:
        # Without the name that is unknown here the rule would match more than was said.
        raise _UnreadableError(f"{where}.{unknown[0]} is unknown to this release")
    values: dict[str, Any] = {}
    for key, field in fields.items():
        place = f"{where}.{key}" if where else key
        section = _section_of(field)
        if key not in said and field.is_required():
            raise _UnreadableError(f"{place} is missing")
        if key not in said:
            continue
        try:
            if section is None:
                values[key] = _plain(_adapters(model)[key], said[key], place)
            else:
                values[key] = _sections(section, field, said[key], place, left_out)
        except _UnreadableError as error:
            if section is None or field.is_required():
                raise
            left_out.append(str(error))
    return model.model_construct(**values)


def _sections(section: type[BaseModel], field: FieldInfo, said: object, place: str, left_out: list[str]) -> Any:
    """What a field of sections holds: one, none, or a list of those that can be read."""
    if typing.get_origin(field.annotation) is not tuple:
        return None if said is None and field.default is None else _entry(section, said, place, left_out)
    if not isinstance(said, list):
        raise _UnreadableError(f"{place} is {_shortly(said, place)}, not a list")
    entries: list[BaseModel] = []
    for number, one in enumerate(said):
        try:
            entries.append(_entry(section, one, f"{place}.{number}", left_out))
        except _UnreadableError as error:
            left_out.append(str(error))
    return tuple(entries)


def _plain(adapter: TypeAdapter[Any], said: object, place: str) -> Any:
    try:
        return adapter.validate_python(said)
    except ValidationError as error:
        if isinstance(said, str) and _SPELLING.issuperset(found["type"] for found in error.errors()):
            return said
        why = error.errors(include_url=False)[0]["msg"]
        raise _UnreadableError(f"{place} is {_shortly(said, place)}: {why}") from None


@functools.cache
def _adapters(model: type[BaseModel]) -> Mapping[str, TypeAdapter[Any]]:
    """Key -> how its plain value is read by itself."""
    return {key: TypeAdapter(field.rebuild_annotation()) for key, field in _fields(model) if _section_of(field) is None}


def _shortly(said: object, place: str) -> str:
    """A value as a reason may repeat it: not what may be a secret, and not a page of it."""
    text = "(not shown)" if place.endswith("_env") else repr(said)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def _without(config: Config, places: Sequence[tuple[str | int, ...]]) -> Config:
    """The configuration less the entries at these places, or less the rules of a workload where a place is one's."""
    gone = {place[:4] if place[2:3] == ("match",) else place[:2] for place in places}
    workloads = tuple(
        workload.model_copy(
            update={
                "match": tuple(
                    rule
                    for number, rule in enumerate(workload.match)
                    if ("workloads", index, "match", number) not in gone
                )
            }
        )
        for index, workload in enumerate(config.workloads)
        if ("workloads", index) not in gone
    )
    kept = {
        section: tuple(entry for index, entry in enumerate(getattr(config, section)) if (section, index) not in gone)
        for section in (
            "sources",
            "gpu_resources",
            "capacity_blocks",
            "deployments",
            "contracts",
            "models",
            "budgets",
            "per_use",
            "ownership",
        )
    }
    return config.model_copy(update={**kept, "workloads": workloads})
