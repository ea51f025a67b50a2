"""`breakeven.yaml`: who is who, what serves what, and at which declared rates. Facts only a person knows."""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from pipeline.errors import ConfigError


def _decimal_from_yaml(value: object) -> object:
    """YAML reads 2.69 as a float; its shortest decimal spelling is what the person wrote."""
    return str(value) if isinstance(value, float) else value


# What DECIMAL(38,18) holds exactly: a rate that it cannot hold would be another rate.
Money = Annotated[Decimal, BeforeValidator(_decimal_from_yaml), Field(max_digits=38, decimal_places=18)]
# A variable's name: never the secret itself, which would be landed with the configuration.
EnvironmentName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,62}$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceConfig(_Section):
    """One configured export: its format, whose account it is, where its files drop, its own settings."""

    source: Name
    account: Name
    inbox: str | None = None
    key_env: EnvironmentName | None = None
    base_url: str | None = None
    horizon: date | None = None
    settle_lag_hours: int | None = Field(default=None, ge=0, le=24 * 60)
    role: Literal["book", "control"] = "book"
    settings: dict[str, Any] = Field(default_factory=dict)


class GpuResource(_Section):
    """A billed resource (instance, node, owned machine) and what was agreed about it, valid [from, to)."""

    issuer: Name
    resource_id: str = Field(min_length=1, max_length=200)
    host: str | None = None
    gpu_count: int = Field(ge=1, le=1024)
    contract_rate_per_gpu_hour: Money | None = Field(default=None, ge=0)
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")
    valid_from: date = Field(alias="from")
    valid_to: date | None = Field(default=None, alias="to")


class Capacity(_Section):
    """Tokens per second one replica sustains within its SLO. Declared with a date and a source, or not at all."""

    prefill_tokens_per_second: Money | None = Field(default=None, gt=0)
    cached_tokens_per_second: Money | None = Field(default=None, gt=0)
    decode_tokens_per_second: Money | None = Field(default=None, gt=0)
    measured_on: date
    source: str
    peak_allowance: Money = Field(default=Decimal("0.85"), gt=0, le=1)


class Deployment(_Section):
    """One LLM served on a set of GPUs. A replica is `gpus_per_replica` of them serving one copy."""

    deployment: Name
    model: str
    served_names: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    gpus_per_replica: int = Field(ge=1, le=1024)
    capacity: Capacity | None = None
    minimum_replicas: int = Field(default=1, ge=0)
    spare_replicas: int = Field(default=0, ge=0)
    valid_from: date | None = Field(default=None, alias="from")


class WorkloadMatch(_Section):
    """All named fields must match. A field left out matches anything. `workspace` and `project` are one vendor's or the
    other's word for the same thing: a rule names one of them.
    """

    provider: str | None = None
    account: str | None = None
    workspace: str | None = None
    project: str | None = None
    api_key: str | None = None
    model: str | None = None
    served_name: str | None = None
    deployment: str | None = None

    @property
    def sub_account(self) -> str | None:
        """The vendor's own division of the account that must match (FOCUS: SubAccountId)."""
        return self.project if self.workspace is None else self.workspace


class Workload(_Section):
    """Traffic that either lane could serve: what a decision is about."""

    workload: Name
    team: str | None = None
    match: tuple[WorkloadMatch, ...] = Field(min_length=1)
    deployment: Name | None = None
    api_model: str | None = None
    pinned_to: Literal["api", "self_host"] | None = None
    pin_reason: str | None = None


class Overhead(_Section):
    """A fixed monthly cost of self-hosting, itemised."""

    item: str
    monthly: Money = Field(ge=0)
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")
    deployment: Name | None = None


class Slack(_Section):
    channel: str | None = None
    token_env: EnvironmentName | None = "SLACK_BOT_TOKEN"
    webhook_env: EnvironmentName | None = None
    on_uncertain: Literal["hold", "repost"] = "hold"
    api_url: str | None = None


class AlertRule(_Section):
    """Hysteresis of the announced state (economics.md section 10)."""

    enter_ratio: Money = Decimal("1.10")
    exit_ratio: Money = Decimal("0.90")
    dwell_days: int = Field(default=7, ge=1)
    cooldown_days: int = Field(default=14, ge=0)


class Config(_Section):
    """The whole of `breakeven.yaml`."""

    company: str
    reporting_currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")
    state: str = ".breakeven"
    sources: tuple[SourceConfig, ...] = ()
    gpu_resources: tuple[GpuResource, ...] = ()
    deployments: tuple[Deployment, ...] = ()
    workloads: tuple[Workload, ...] = ()
    overheads: tuple[Overhead, ...] = ()
    slack: Slack = Slack()
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
    _check_references(config)
    return config


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

    model: Any = Config
    for part in location[:-1]:
        if isinstance(part, int) or model is None:
            continue
        model = _section_of(model, part)
    if model is None:
        return "Remove it."
    known = [field.alias or name for name, field in model.model_fields.items()]
    near = difflib.get_close_matches(str(location[-1]), known, n=1)
    return f"Did you mean {near[0]!r}?" if near else f"Known here: {', '.join(known)}."


def _section_of(model: Any, name: str) -> Any:
    import typing

    for field_name, field in model.model_fields.items():
        if (field.alias or field_name) != name:
            continue
        candidates = [field.annotation, *typing.get_args(field.annotation)]
        for candidate in candidates:
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                return candidate
    return None


def _check_references(config: Config) -> None:
    """Names that must be unique are, and names that point at something do."""
    _unique("sources", [f"{source.source}/{source.account}" for source in config.sources])
    _unique("deployments", [deployment.deployment for deployment in config.deployments])
    _unique("workloads", [workload.workload for workload in config.workloads])
    _check_intervals(config.gpu_resources)
    deployments = {deployment.deployment for deployment in config.deployments}
    for index, workload in enumerate(config.workloads):
        if workload.deployment is not None and workload.deployment not in deployments:
            raise ConfigError(
                key=f"workloads.{index}.deployment",
                value=workload.deployment,
                fix=f"No such deployment. Declared: {', '.join(sorted(deployments)) or 'none'}.",
            )
        for number, match in enumerate(workload.match):
            if match.workspace is not None and match.project is not None:
                raise ConfigError(
                    key=f"workloads.{index}.match.{number}.project",
                    value=match.project,
                    fix="`workspace` and `project` are one vendor's and the other's word for the same thing. Keep one.",
                )
            if match.deployment is not None and match.deployment not in deployments:
                raise ConfigError(
                    key=f"workloads.{index}.match.{number}.deployment",
                    value=match.deployment,
                    fix=f"No such deployment. Declared: {', '.join(sorted(deployments)) or 'none'}.",
                )
        if workload.pinned_to is not None and not workload.pin_reason:
            raise ConfigError(
                key=f"workloads.{index}.pin_reason",
                value="missing",
                fix="A pinned workload says why in pin_reason.",
            )
    for index, overhead in enumerate(config.overheads):
        if overhead.deployment is not None and overhead.deployment not in deployments:
            raise ConfigError(
                key=f"overheads.{index}.deployment",
                value=overhead.deployment,
                fix=f"No such deployment. Declared: {', '.join(sorted(deployments)) or 'none'}.",
            )


def _check_intervals(resources: Sequence[GpuResource]) -> None:
    """A resource is what it is on a day once: intervals are not empty and do not overlap."""
    for index, resource in enumerate(resources):
        if resource.valid_to is not None and resource.valid_to <= resource.valid_from:
            raise ConfigError(
                key=f"gpu_resources.{index}.to",
                value=resource.valid_to.isoformat(),
                fix=f"It must be after `from`, which is {resource.valid_from}; `to` is the first day that is out.",
            )
        for earlier in resources[:index]:
            if (earlier.issuer, earlier.resource_id) != (resource.issuer, resource.resource_id):
                continue
            if resource.valid_from < (earlier.valid_to or date.max) and earlier.valid_from < (
                resource.valid_to or date.max
            ):
                raise ConfigError(
                    key=f"gpu_resources.{index}",
                    value=f"{resource.issuer}/{resource.resource_id} from {resource.valid_from}",
                    fix=f"It overlaps the one from {earlier.valid_from}. Give the earlier one a `to`.",
                )


def _unique(key: str, names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(key=key, value=name, fix="Declared twice. Rename or remove one.")
