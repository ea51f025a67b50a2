"""The SQL graph: one multi-asset. A build brings everything up to date and yields every selected asset."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

from pipeline.assets.markdown import markdown_table
from pipeline.assets.resources import Built, BuiltTable, ProjectResource, moment_of
from pipeline.build.graph import BuildResult
from pipeline.build.lineage import column_lineage
from pipeline.build.publish import publish
from pipeline.build.relations import Columns, landed_columns
from pipeline.build.runner import Model
from pipeline.build.sql_models import SqlModel
from pipeline.decisions.check_results import CHECK_PREFIX, CheckResult, check_results, law_of
from pipeline.decisions.graph import build_project, kept_snapshot, shipped_graph
from pipeline.decisions.plausible import land_config
from pipeline.paths import models_root
from pipeline.reports.figures import visible
from pipeline.sources.source import Source

_GATED_FOLDERS = ("staging", "intermediate", "marts", "decisions")
_INSTRUCTION = re.compile(r"-- (partition|lookback|date|days|law|scope): ")
_DAY_STATUS = "fct_day_status_daily"
_MOST_NAMED = 5
_WHAT_TO_DO = "See the law under Checks in infra/RUNBOOK.md; `breakeven status` lists what is broken now."


def model_key(name: str, folder: str) -> dg.AssetKey:
    return dg.AssetKey([folder, name])


def sql_graph(
    landing_keys: Mapping[str, Sequence[dg.AssetKey]], sources: Sequence[Source], cache: Path
) -> dg.AssetsDefinition:
    """Every model as an asset, every law as an asset check. `landing_keys`: source name -> its landing assets."""
    models = shipped_graph().models(cache)
    folders = {model.name: model.folder for model in models}
    landed: dict[str, _Landed] = {}
    for dataset in (dataset for source in sources for dataset in source.datasets):
        for table in dataset.tables:
            view = dataset.table_view(table)
            others = landed[view].keys if view in landed else ()
            landed[view] = _Landed((*others, *landing_keys.get(dataset.source, ())), landed_columns(table))
    everything_landed = [key for keys in landing_keys.values() for key in keys]
    specs = [_spec(model, folders, landed, everything_landed) for model in models if model.folder in _GATED_FOLDERS]
    laws = {law_of(model.name): model for model in models if model.name.startswith(CHECK_PREFIX)}
    documented = _documented_columns(models_root())
    sql_models = {model.name: model for model in models if isinstance(model, SqlModel)}

    @dg.multi_asset(
        name="sql_graph",
        specs=specs,
        check_specs=[
            dg.AssetCheckSpec(law, asset=_subject(model, folders), description=_first_comment(model))
            for law, model in laws.items()
        ],
        can_subset=True,
    )
    def build_graph(
        context: dg.AssetExecutionContext,
        project: dg.ResourceParam[ProjectResource],
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:  # type: ignore[type-arg]
        columns: dict[str, Columns] = {}
        for table in _tables(project, moment_of(context.run.tags)):
            if isinstance(table, BuildResult):
                result = table
                continue
            columns[table.name] = table.columns
            if (key := model_key(table.name, table.folder)) in context.selected_asset_keys:
                lineage = _lineage(sql_models.get(table.name), columns, landed, folders, cache)
                yield _materialized(key, table, documented.get(table.name, {}), lineage)
        for note in result.notes:
            context.log.warning(note)
        outcomes = check_results(result.snapshot)
        for check in sorted(context.selected_asset_check_keys):
            yield _law_result(check, [row for row in outcomes if row.law == check.name and not row.passed])

    return build_graph


def _tables(project: ProjectResource, now: datetime) -> Iterator[BuiltTable | BuildResult]:
    """Every table after what it reads (Dagster wants that), those that are told as soon as they are built; then the
    build that they are of.
    """
    told = project.built()
    named: set[str] = set()
    if told is None:
        land_config(project.project, now)
        result = build_project(project.project, as_of=now)
        publish(result.snapshot, project.project.paths.published)
    else:
        for found in told:
            if isinstance(found, Built):
                snapshot = kept_snapshot(project.project, found.snapshot_id)
                result = BuildResult(snapshot=snapshot, ran=found.ran, landed=None)
            elif found.name not in named:
                # A build that lost a file of the shared cache begins again, and tells again.
                named.add(found.name)
                yield found
    snapshot = result.snapshot
    for name in snapshot.nodes:
        if name not in named:
            yield BuiltTable.of(snapshot.node(name), snapshot.folders[name], result.ran.get(name, ()))
    yield result


@dataclass(frozen=True)
class _Landed:
    """A table as landing hands it to SQL: the assets that bring it, and its columns."""

    keys: tuple[dg.AssetKey, ...]
    columns: Columns


def _documented_columns(root: Path) -> dict[str, dict[str, str]]:
    """Table -> column -> what its `.yml` says of it, unit first."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    documents = {path.stem: yaml.load(path.read_bytes(), Loader=loader) for path in root.rglob("*.yml")}
    return {
        table: {
            column: ": ".join(str(said[part]) for part in ("unit", "description") if said.get(part))
            for column, said in document.get("columns", {}).items()
        }
        for table, document in documents.items()
    }


def _law_result(check: dg.AssetCheckKey, broken: Sequence[CheckResult]) -> dg.AssetCheckResult:
    if not broken:
        return dg.AssetCheckResult(check_name=check.name, asset_key=check.asset_key, passed=True)
    scopes = sorted({row.scope for row in broken})
    return dg.AssetCheckResult(
        check_name=check.name,
        asset_key=check.asset_key,
        passed=False,
        description=f"Broken for {', '.join(visible(scope) for scope in scopes[:_MOST_NAMED])}"
        + (f" and {len(scopes) - _MOST_NAMED} more" if len(scopes) > _MOST_NAMED else ""),
        metadata={
            "what is so": dg.MetadataValue.md(
                markdown_table(["scope", "detail"], [[row.scope, row.detail] for row in broken])
            ),
            "what to do": f"Figures, alerts and reports of these scopes are refused, of all others not. {_WHAT_TO_DO}",
        },
    )


def _spec(
    model: Model,
    folders: Mapping[str, str],
    landed: Mapping[str, _Landed],
    everything_landed: Sequence[dg.AssetKey],
) -> dg.AssetSpec:
    deps: set[dg.AssetKey] = set()
    for table in model.inputs:
        if table in folders:
            deps.add(model_key(table, folders[table]))
        elif table in landed:
            deps.update(landed[table].keys)
        else:
            deps.update(everything_landed if table == "landed_coverage" else ())
    return dg.AssetSpec(
        key=model_key(model.name, model.folder),
        deps=sorted(deps),
        code_version=model.code_hash[:16],
        group_name=model.folder,
        description=_first_comment(model),
    )


def _first_comment(model: Model) -> str:
    """What a model's header says it is, without what it tells the runner."""
    if not isinstance(model, SqlModel):
        return model.build.__doc__ or ""
    header = takewhile(lambda line: line.startswith("--"), model.sql.splitlines())
    return " ".join(line[2:].strip() for line in header if not _INSTRUCTION.match(line))


def _subject(model: Model, folders: Mapping[str, str]) -> dg.AssetKey:
    """The asset a law is shown on: the last gated table that it reads, marts before others."""
    gated = [name for name in model.inputs if folders.get(name) in _GATED_FOLDERS]
    chosen = max(gated, key=lambda name: (_GATED_FOLDERS.index(folders[name]), name), default=_DAY_STATUS)
    return model_key(chosen, folders[chosen])


def _materialized(
    key: dg.AssetKey, table: BuiltTable, documented: Mapping[str, str], lineage: dg.TableColumnLineage | None
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    metadata: dict[str, Any] = {
        "dagster/row_count": table.rows,
        "partitions rebuilt": table.rebuilt,
        "dagster/column_schema": dg.TableSchema(
            columns=[
                dg.TableColumn(name=column, type=kind, description=documented.get(column))
                for column, kind in table.columns
            ]
        ),
    }
    if lineage is not None:
        metadata["dagster/column_lineage"] = lineage
    return dg.MaterializeResult(asset_key=key, data_version=dg.DataVersion(table.says[:32]), metadata=metadata)


def _lineage(
    model: SqlModel | None,
    columns: Mapping[str, Columns],
    landed: Mapping[str, _Landed],
    folders: Mapping[str, str],
    cache: Path,
) -> dg.TableColumnLineage | None:
    """Where each column comes from, as far as that is an asset; configuration and seeds are not.

    `columns`: of every table so far.
    """
    if model is None:
        return None
    known = {name: table.columns for name, table in landed.items()}
    known.update({name: columns[name] for name in model.inputs if name in columns})
    traced = column_lineage(model, columns[model.name], inputs=known, cache=cache)
    deps: dict[str, list[dg.TableColumnDep]] = {}
    for column, sources in traced.items():
        # Tables that one source brings have columns of one name and are one asset: it is named once.
        places = {
            (key, name): None
            for table, name in sources
            for key in (
                landed[table].keys
                if table in landed
                else (model_key(table, folders[table]),)
                if folders.get(table) in _GATED_FOLDERS
                else ()
            )
        }
        deps[column] = [dg.TableColumnDep(asset_key=key, column_name=name) for key, name in places]
    return dg.TableColumnLineage(deps_by_column=deps)
