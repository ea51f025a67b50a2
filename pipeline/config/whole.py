"""All of `breakeven.yaml`."""

import typing
from collections.abc import Iterator

from pydantic import BaseModel, Field
from pydantic.fields import FieldInfo

from pipeline.config.alerts import AlertRule, OutletConfig, Slack, SpendGuard
from pipeline.config.deployments import Deployment
from pipeline.config.gpus import CapacityBlock, GpuResource
from pipeline.config.mail import Mail
from pipeline.config.models import ModelWeights
from pipeline.config.money import Accounting, Budget, Contract, Overhead
from pipeline.config.ownership import OwnerAlias, Ownership
from pipeline.config.per_use import PerUse
from pipeline.config.reports import Reports
from pipeline.config.sources import SourceConfig
from pipeline.config.values import Section
from pipeline.config.workloads import Demand, Workload


class Config(Section):
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


def fields_of(model: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    """Every key as a person writes it, and its field."""
    for name, field in model.model_fields.items():
        yield field.alias or name, field


def section_of(field: FieldInfo) -> type[BaseModel] | None:
    """The section a field holds, alone or in a list; None for a plain value."""
    for candidate in (field.annotation, *typing.get_args(field.annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None
