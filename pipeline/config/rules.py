"""What a configuration may not say beside what else it says: things said twice, names that point at nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from pipeline.config.deployments import Served, TokenCosts
from pipeline.config.gpus import CapacityBlock, GpuResource
from pipeline.config.models import ModelWeights
from pipeline.config.money import BUDGET_SCOPES, Budget, Contract
from pipeline.config.ownership import Ownership
from pipeline.config.per_use import PerUse
from pipeline.config.vocabulary import PRICE_MODES, PROVIDERS, TOKEN_CLASSES
from pipeline.config.whole import Config
from pipeline.errors import ConfigError
from pipeline.ownership import ATTRIBUTES, OwnerRule, named_now


@dataclass(frozen=True)
class _Problem:
    """An entry that the rest of the configuration does not allow, and the error that says so."""

    where: tuple[str | int, ...]
    error: ConfigError


def check_references(config: Config) -> None:
    """Names that must be unique are, and names that point at something do."""
    for problem in (*contradictions(config), *_loose_ends(config)):
        raise problem.error


def contradictions(config: Config) -> Iterator[_Problem]:
    """Entries that cannot hold beside an earlier one, or in themselves: counted both, they would count double."""
    yield from _declared_twice("sources", [f"{source.source}/{source.account}" for source in config.sources])
    yield from _declared_twice("deployments", [deployment.deployment for deployment in config.deployments])
    yield from _declared_twice("workloads", [workload.workload for workload in config.workloads])
    yield from _bad_intervals("gpu_resources", [((one.issuer, one.resource_id), one) for one in config.gpu_resources])
    yield from _bad_intervals("contracts", [((one.provider, one.account), one) for one in config.contracts])
    yield from _bad_intervals("models", [((one.provider, one.model.lower()), one) for one in config.models])
    yield from _bad_intervals("budgets", [(_scope_now(one, config), one) for one in config.budgets])
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


def _more_active_than_held(served: Served | None, *where: str | int) -> Iterator[_Problem]:
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


def _scope_now(budget: Budget, config: Config) -> tuple[str, str | None]:
    """What a budget is of, under the name of now: one owner's budget is one, by whichever name."""
    kind, name = budget.scope
    names = named_now(
        (now, alias.was) for alias in config.owner_aliases if (now := getattr(alias, kind, None)) is not None
    )
    return kind, name if name is None else names.get(name, name)


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
