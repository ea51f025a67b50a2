"""A first `breakeven.yaml`: the sources that were found, and as comments what only a person can confirm.

What can be measured is not declared. What is proposed is ranked by the dollars, else the GPU-hours, it would cover, and
no two proposals claim the same.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Any

from pipeline.config.schema import SCHEMA_COMMENT
from pipeline.doctor.discover import Found, FoundFiles
from pipeline.doctor.figures import DAYS, as_yaml
from pipeline.doctor.seen import MOST_PROPOSED, deployments_seen, milliseconds_of, slug, unique
from pipeline.errors import QuarantineError
from pipeline.formats import currency as currencies
from pipeline.sources import source_named
from pipeline.sources.invoice_guess import guess_settings
from pipeline.sources.recognise import HEAD_BYTES

# Exports that state what a fetched bill states too: (control, the sources beside which it is one).
_CONTROLS = {
    "anthropic_console_csv": ("anthropic_cost_api", "anthropic_api"),
    "openai_dashboard_csv": ("openai_costs_api", "openai_api"),
    "aws_cur": ("aws_cur2",),
    "gcp_cost_table": ("gcp_billing_export",),
    "focus": ("aws_cur2", "aws_cur"),
}
_ACCOUNTS = {"nvml_spool": "fleet", "litellm_focus": "gateway", "litellm_activity": "gateway",
             "litellm_spend_logs": "gateway",
             "openrouter_generations": "gateway", "aws_cur2": "aws", "aws_cur": "aws", "aws_invoices": "aws",
             "azure_cost_details": "azure", "gcp_billing_export": "gcp", "gcp_cost_table": "gcp",
             "oci_cost_report": "oci", "openrouter_activity": "openrouter", "deepseek_usage": "deepseek",
             "fireworks_costs": "fireworks", "mistral_usage": "mistral",
             "digitalocean_invoices": "digitalocean", "vast_charges": "vast",
             "modal_billing_csv": "modal", "drivers_csv": "business",
             "ecb_rates": "ecb", "owned_gpus": "owned", "focus": "cloud",
             "focus_usage": "coreweave"}  # fmt: skip
_USUAL_FOLDERS = ("exports", "export", "invoices", "invoice", "bills", "downloads", "inbox", "data", "csv")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,62}")
_DIVISIONS = {"openai": "project"}

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Entry:
    """One source of the file. `files`: what has to be put into its inbox; `note`: what a person should know of it."""

    said: Mapping[str, Any]
    files: tuple[Path, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Proposals:
    """Lines per section, dearest first, each with what it covers."""

    sources: tuple[tuple[Mapping[str, Any], str], ...] = ()
    workloads: tuple[tuple[Mapping[str, Any], str], ...] = ()
    deployments: tuple[tuple[Mapping[str, Any], str], ...] = ()
    gpu_resources: tuple[tuple[Mapping[str, Any], str], ...] = ()
    notes: tuple[str, ...] = field(default=())


def entries_of(found: Found, *, folder: Path, horizon: date, base_urls: Mapping[str, str]) -> list[Entry]:
    """What `sources:` says of what was found. Of two that state the same bill the export is the control."""
    entries = [*_api_entries(found, horizon, base_urls), *_export_entries(found, folder), *_file_entries(found, folder)]
    if found.prometheus is not None and source_named("prometheus") is not None:
        entries.append(Entry({"source": "prometheus", "account": "fleet", "base_url": found.prometheus}))
    return _with_roles(entries)


def _api_entries(found: Found, horizon: date, base_urls: Mapping[str, str]) -> Iterator[Entry]:
    for key in found.keys:
        said: dict[str, Any] = {"source": f"{key.provider}_api", "account": key.account, "key_env": key.variable}
        if key.provider in base_urls:
            said["base_url"] = base_urls[key.provider]
        yield Entry({**said, "horizon": horizon})


def _export_entries(found: Found, folder: Path) -> Iterator[Entry]:
    for place, source in found.exports:
        account = "aws" if source == "focus" else _ACCOUNTS[source]
        said = {"source": source, "account": account, "settings": {"export": place.relative_to(folder).as_posix()}}
        yield Entry(said, note="a synced copy of the export")


def _file_entries(found: Found, folder: Path) -> Iterator[Entry]:
    """Files of one source and account share an inbox; invoices only where they have the same header."""
    by_account: dict[tuple[str, str, tuple[str, ...]], list[FoundFiles]] = defaultdict(list)
    for group in found.files:
        for part in _by_header(group):
            header = _header(part.files[0]) if part.source == "invoice_csv" else ()
            by_account[part.source, _account_of(part, found, folder), header].append(part)
    taken: dict[str, set[str]] = defaultdict(set)
    for (source, named, _), groups in by_account.items():
        account = unique(named, taken[source])
        inbox = f"inbox/{source}/{account}"
        files: tuple[Path, ...] = tuple(path for group in groups for path in group.files)
        if len(groups) == 1 and groups[0].is_alone:
            inbox, files = groups[0].folder.relative_to(folder).as_posix(), ()
        said: dict[str, Any] = {"source": source, "account": account, "inbox": inbox}
        first = groups[0].files[0]
        if source in ("aws_cur2", "aws_cur", "prepaid_csv"):
            continue
        if source == "invoice_csv":
            settings = guess_settings(first.read_bytes())
            if settings is None:
                continue
            yield Entry({**said, "settings": settings}, files, "columns guessed: compare the sum with the invoice")
        elif source == "litellm_focus":
            if bills := _bills(first, found):
                yield Entry({**said, "settings": {"bills": bills}}, files, "bills: whose bill it estimates")
        elif source == "litellm_activity":
            if bills := _bills(first, found, source=source):
                yield Entry({**said, "settings": {"bills": bills}}, files, "bills: whose bill it estimates")
        elif source in ("litellm_spend_logs", "openrouter_generations"):
            if bills := _bills(first, found, source=source):
                yield Entry({**said, "settings": {"bills": bills}}, files, "bills: whose days get their hours from it")
        elif source == "gcp_billing_export":
            note = "files: parts, where each file is what was exported since the one before"
            yield Entry({**said, "settings": {"files": "whole"}}, files, note)
        else:
            yield Entry(said, files)


def _by_header(group: FoundFiles) -> Iterator[FoundFiles]:
    """Invoices of different columns need settings, and so an inbox, of their own."""
    if group.source != "invoice_csv":
        yield group
        return
    by_header: dict[tuple[str, ...], list[Path]] = defaultdict(list)
    for path in group.files:
        by_header[_header(path)].append(path)
    for files in by_header.values():
        yield replace(group, files=tuple(files), is_alone=group.is_alone and len(by_header) == 1)


def _header(file: Path) -> tuple[str, ...]:
    with file.open("rb") as opened:
        head = opened.read(HEAD_BYTES)
    return tuple(head.split(b"\n", 1)[0].decode("utf-8", errors="replace").split())


def _account_of(group: FoundFiles, found: Found, folder: Path) -> str:
    if group.source == "focus" and any(source in ("aws_cur2", "aws_cur") for _, source in found.exports):
        return _ACCOUNTS["aws_cur2"]
    if group.source in _ACCOUNTS:
        return _ACCOUNTS[group.source]
    name = group.folder.name
    if group.folder != folder and name not in _USUAL_FOLDERS and _NAME.fullmatch(name) and name != group.source:
        return name
    return "gpu-cloud" if group.source == "invoice_csv" else "main"


def _bills(file: Path, found: Found, *, source: str = "litellm_focus") -> dict[str, str | None]:
    """Each provider the gateway names: the account whose key was found, else nobody's. Empty where it is not read."""
    accounts = {key.provider: key.account for key in reversed(found.keys)}
    try:
        providers = _providers(file, source=source)
    except QuarantineError:
        return {}
    return {name: accounts.get(name) for name in providers}


def _providers(file: Path, *, source: str = "litellm_focus") -> list[str]:
    """Whom a gateway's export names. Raises QuarantineError with the reason where its reader refuses it."""
    shipped = source_named(source)
    assert shipped is not None, "shipped"
    dropped = shipped.drop(file.name, file.read_bytes(), {})
    (payload,) = dropped.payloads
    (rows,) = shipped.datasets[0].parse(payload.content, dropped.settings).values()
    column = "provider_name" if "provider_name" in rows.columns else "custom_llm_provider"
    names = rows[column].drop_nulls().unique()
    return sorted(names.str.to_lowercase().to_list() if source == "openrouter_generations" else names.to_list())


def _with_roles(entries: Sequence[Entry]) -> list[Entry]:
    """An export of a bill that is fetched too is its control, where it is of the same account as far as is known."""
    accounts: dict[str, set[str]] = defaultdict(set)
    for entry in entries:
        accounts[entry.said["source"]].add(entry.said["account"])
    found = []
    for entry in entries:
        books = {account for book in _CONTROLS.get(entry.said["source"], ()) for account in accounts[book]}
        if books and (entry.said["account"] in books or entry.said["account"] == "main"):
            account = entry.said["account"] if entry.said["account"] in books else min(books)
            said = {**entry.said, "account": account, "role": "control"}
            entry = Entry(said, entry.files, "the same bill once more: shown beside it, never summed")
        found.append(entry)
    return found


def not_read(found: Found) -> dict[Path, str]:
    """Exports that were recognised and that breakeven.yaml cannot name yet, and what they lack."""
    lacking: dict[Path, str] = {}
    for group in found.files:
        for path in group.files:
            if group.source == "invoice_csv" and guess_settings(path.read_bytes()) is None:
                lacking[path] = "a table with money, not read until an invoice_csv declares its columns"
            elif group.source == "prepaid_csv":
                lacking[path] = "entries of a prepaid account, read once a prepaid_csv says whose bill it pays (issuer)"
            elif group.source == "aws_cur2":
                lacking[path] = "a part of a CUR 2.0 export; copied with its metadata/ folder beside data/ it is read"
            elif group.source == "aws_cur":
                lacking[path] = "a part of a legacy report of AWS; copied with the manifests of its months it is read"
            elif group.source in ("litellm_focus", "litellm_activity", "litellm_spend_logs", "openrouter_generations"):
                try:
                    _providers(path, source=group.source)
                except QuarantineError as error:
                    lacking[path] = f"a gateway's export, not read: {error}"
    return lacking


def proposals_of(
    api: Sequence[Row],
    hosts: Sequence[Row],
    *,
    currency: str,
    rate_per_gpu_hour: Decimal | None,
    rate_currency: str = "USD",
    issuer: str,
) -> Proposals:
    """`api`: rows of the question `unassigned_api`; `hosts`: of `hosts_seen`."""
    return Proposals(
        workloads=tuple(_workloads(api, currency)),
        deployments=tuple(deployments_seen(hosts, currency)),
        gpu_resources=tuple(_resources(hosts, rate_per_gpu_hour, rate_currency, issuer)),
        notes=tuple(_budget(api, currency)),
    )


def _budget(api: Sequence[Row], currency: str) -> Iterator[str]:
    """What was billed, as the budget that nobody has decided on yet."""
    billed = sum((row["billed_cost_rc"] or Decimal(0) for row in api), start=Decimal(0))
    if billed > 0:
        said = {
            "monthly": int(billed.to_integral_value(ROUND_CEILING)),
            **({"currency": currency} if currency != "USD" else {}),
        }
        told = f"{currencies.money(billed, currency)} of APIs in {DAYS} days: what may be spent a month is yours to say"
        yield f"budgets: [{_flow(said)}]  # {told}"


def with_reached(proposals: Proposals, found: Found) -> Proposals:
    """Beside these, what no figure says yet: exports of the AWS account, deployments that only Kubernetes knows of."""
    served = {name for said, _ in proposals.deployments for name in said.get("served_names", ())}
    taken = {str(said["deployment"]) for said, _ in proposals.deployments}
    deployments = [*proposals.deployments]
    for one in found.cluster.workloads if found.cluster is not None else ():
        if not one.served_names or served & set(one.served_names) or len(deployments) >= MOST_PROPOSED:
            continue
        served.update(one.served_names)
        model = one.served_names[0].rpartition("/")[2].lower()
        said = {"deployment": unique(slug(one.owner), taken), "model": model, "served_names": list(one.served_names),
                "hosts": list(one.nodes), "gpus_per_replica": one.gpus_per_pod}  # fmt: skip
        gpus = one.pod_count * one.gpus_per_pod
        deployments.append((said, f"asks for {gpus} GPU{'' if gpus == 1 else 's'}, as Kubernetes says"))
    exports: list[tuple[Mapping[str, Any], str]] = []
    # What lies here as a synced copy is read from there.
    if found.aws_account is not None and not found.exports:
        exports = [
            ({"source": one.source, "account": _ACCOUNTS["aws_cur2"], "settings": {"export": one.where}},
             f"of AWS account {found.aws_account.account_id}")
            for one in found.aws_account.exports
            if one.source == "aws_cur2"
        ]  # fmt: skip
    slack = ('slack: {channel: "#llm-costs"}  # SLACK_BOT_TOKEN is set',) if found.has_slack_token else ()
    notes = (*proposals.notes, *slack)
    return replace(proposals, sources=tuple(exports), deployments=tuple(deployments), notes=notes)


def _workloads(api: Sequence[Row], currency: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    """By division of an account, else by key, else by model: the first that tells its traffic apart."""
    found: list[tuple[Decimal, str, dict[str, Any]]] = []
    by_account: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in api:
        by_account[row["provider"], row["account"]].append(row)
    for (provider, account), rows in by_account.items():
        for name in ("sub_account_id", "api_key_id", "model"):
            sums: dict[str | None, Decimal] = defaultdict(Decimal)
            for row in rows:
                sums[row[name]] += row["of_which_unassigned_cost_rc"] or 0
            named = [key for key in sums if key is not None]
            if len(sums) > 1 or name == "model":
                break
        word = {"sub_account_id": _DIVISIONS.get(provider, "workspace"), "api_key_id": "api_key", "model": "model"}[
            name
        ]
        for key in named:
            if sums[key] > 0:
                found.append((sums[key], key, {"provider": provider, "account": account, word: key}))
    taken: set[str] = set()
    for cost, key, rule in sorted(found, key=lambda one: (-one[0], one[1]))[:MOST_PROPOSED]:
        name = unique(slug(key), taken)
        yield {"workload": name, "team": name, "match": [rule]}, f"covers {currencies.money(cost, currency)}"


def _resources(
    hosts: Sequence[Row], rate_per_gpu_hour: Decimal | None, rate_currency: str, issuer: str
) -> Iterator[tuple[Mapping[str, Any], str]]:
    unpaid = [row for row in hosts if row["unpaid_days_count"]]
    for row in sorted(unpaid, key=lambda row: (-milliseconds_of([row]), row["host"])):
        said = {"issuer": issuer, "resource_id": row["resource_id"], "host": row["host"], "gpu_count": row["gpu_count"]}
        if rate_per_gpu_hour is not None:
            said["contract_rate_per_gpu_hour"] = rate_per_gpu_hour
            if rate_currency != "USD":
                said["currency"] = rate_currency
        hours = f"covers {milliseconds_of([row]) / 3_600_000:,.1f} GPU-hours"
        yield (
            {**said, "from": row["first_seen_date"]},
            f"{hours}; with contract_rate_per_gpu_hour, or with its invoice",
        )


def company_of(folder: Path) -> str:
    """The folder's name, as far as it is one."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name).strip("-") or "company"


def yaml_text(company: str, entries: Sequence[Entry], proposals: Proposals, *, today: date) -> str:
    """The file: sources as they are, the rest as comments (but for rates that were given)."""
    lines = [
        SCHEMA_COMMENT,
        f"# Written by `breakeven init`, {today}. What can be measured needs no line here; what is commented out is a",
        "# proposal: take the `# ` away where it is right. `breakeven doctor` says which line is worth most next.",
        f"company: {_flow(company)}",
        "",
        "sources:" if entries else "sources: []" if not proposals.sources else "# sources:",
        *(line for entry in entries for line in _source_lines(entry)),
        *(f"#   - {_flow(said)}  # {of}" for said, of in proposals.sources),
    ]
    rates = [said for said, _ in proposals.gpu_resources if "contract_rate_per_gpu_hour" in said]
    if rates:
        lines += ["", "gpu_resources:", *(f"  - {_flow(said)}" for said in rates)]
    for section in ("workloads", "deployments", "gpu_resources"):
        proposed = [one for one in getattr(proposals, section) if "contract_rate_per_gpu_hour" not in one[0]]
        if proposed:
            lines += ["", f"# {section}:", *(f"#   - {_flow(said)}  # {covers}" for said, covers in proposed)]
    lines += [line for note in proposals.notes for line in ("", f"# {note}")]
    return "\n".join(lines) + "\n"


def _source_lines(entry: Entry) -> Iterator[str]:
    if entry.note:
        yield f"  # {entry.note}"
    settings = entry.said.get("settings")
    if not isinstance(settings, Mapping) or len(_flow(entry.said)) <= 110:
        yield f"  - {_flow(entry.said)}"
        return
    rest = {key: value for key, value in entry.said.items() if key != "settings"}
    first, *others = rest.items()
    yield f"  - {first[0]}: {_flow(first[1])}"
    yield from (f"    {key}: {_flow(value)}" for key, value in others)
    yield "    settings:"
    yield from (f"      {key}: {_flow(value)}" for key, value in settings.items())


def _flow(value: object) -> str:
    """On one line, read back as this value, whatever names are in it."""
    return as_yaml(_plain(value))


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return float(value) if Decimal(str(float(value))) == value else str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
