"""The build's own SQL over landed rows that say where they stand: what a SQL model makes of each of them alone."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from pipeline.build.relations import Columns, literal, quoted
from pipeline.build.sql_models import SqlModel

# Between an account and the numbers of its object and row. No account is named with a control character.
_SEPARATOR = "\x1f"
_PLACE = f"(?s)^(.*){_SEPARATOR}([0-9]+){_SEPARATOR}([0-9]+)$"


@dataclass(frozen=True)
class Route:
    """How landed rows reach a SQL model: the models on the way, each after what it reads, itself last.

    `landed`: view -> the days of it that the model reads (None: all).
    `by_account`: other inputs, in which rows are looked up by account: under each place of an account they say what
    they say of it, a dated one (True) of the row's own day.
    """

    models: tuple[SqlModel, ...]
    landed: Mapping[str, frozenset[date] | None]
    by_account: Mapping[str, bool]


def route_to(
    name: str,
    days: Iterable[date],
    *,
    models: Mapping[str, SqlModel],
    columns: Mapping[str, Columns],
    landed: Iterable[str],
) -> Route:
    """The way to a model. `columns`: those of every table it may read; `landed`: the views of landed rows.

    A model without an account is on no way: it says the same of every row (what a name means, which days there are), so
    it is read as it was built.
    """
    landed_views = frozenset(landed)
    wanted: dict[str, frozenset[date] | None] = {}
    ordered: dict[str, SqlModel] = {}
    by_account: dict[str, bool] = {}

    def visit(model: SqlModel, model_days: frozenset[date] | None) -> None:
        for table in model.inputs:
            table_days = _days_read(model, table, model_days)
            if table in landed_views:
                wanted[table] = _both(wanted.get(table, frozenset()), table_days)
            elif "account" in dict(columns[table]):
                if table in models:
                    visit(models[table], table_days)
                else:
                    by_account[table] = "usage_date" in dict(columns[table])
        ordered.setdefault(model.name, model)

    visit(models[name], frozenset(days))
    return Route(models=tuple(ordered.values()), landed=wanted, by_account=by_account)


def _days_read(model: SqlModel, table: str, days: frozenset[date] | None) -> frozenset[date] | None:
    """The days of an input that some days of a model are made from, as the runner hands them over."""
    if model.partition_by == "none":
        return None
    lookback = model.lookback.get(table, 0)
    if not lookback or not days:
        return days
    first, last = min(days) - timedelta(days=lookback), max(days)
    return frozenset(first + timedelta(days=number) for number in range((last - first).days + 1))


def _both(some: frozenset[date] | None, others: frozenset[date] | None) -> frozenset[date] | None:
    return None if some is None or others is None else some | others


def traced_select(route: Route, days: Sequence[date], *, money: str) -> str:
    """What the route's last model makes of each landed row alone, beside its place and the amount it states.

    Reads `traced_...` of every landed view of the route. Its account carries each row's place through the models, which
    group by it, so no two rows meet; it is taken apart again at the end. `money`: a table of `object_number`,
    `object_row`, `stated_amount`, `decimal_places`.
    """
    tables = {
        view: f"from {quoted(traced_name(view))} "
        f"select * exclude (object_number, object_row) replace ({_placed('account')} as account)"
        for view in route.landed
    }
    tables["places"] = " union ".join(
        f"from {quoted(traced_name(view))} select distinct account, usage_date, {_placed('account')} as place"
        for view in route.landed
    )
    for table, is_dated in route.by_account.items():
        shared = "account, usage_date" if is_dated else "account"
        tables[table] = (
            # A table named within itself is looked for in the catalog only when the name says so.
            f"from temp.main.{quoted(table)} as described inner join places using ({shared}) "
            "select described.* replace (places.place as account)"
        )
    tables["this_partition"] = (
        f"select date '{min(days)}' as from_date, date '{max(days) + timedelta(days=1)}' as to_date"
    )
    tables |= {model.name: model.sql for model in route.models}
    place = f"regexp_extract(account, {literal(_PLACE)}, "
    tables["placed_rows"] = (
        f"from {quoted(route.models[-1].name)} select * replace ({place}1) as account), "
        f"try_cast({place}2) as bigint) as object_number, try_cast({place}3) as bigint) as object_row"
    )
    given = ", ".join(f"{quoted(name)} as (\n{sql}\n)" for name, sql in tables.items())
    return (
        f"with {given} from placed_rows left join {quoted(money)} as stated using (object_number, object_row) "
        "select placed_rows.*, stated.stated_amount, stated.decimal_places"
    )


def _placed(account: str) -> str:
    separator = literal(_SEPARATOR)
    return f"concat({account}, {separator}, object_number, {separator}, object_row)"


def traced_name(table: str) -> str:
    """The name under which a landed view's or a SQL model's rows stand beside their places."""
    return f"traced_{table.removeprefix('landed_')}"
