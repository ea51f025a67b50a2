"""Dated results, and the tables of `README.md` made from the newest of each kind."""

import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
_BEGIN, _END = "<!-- {kind}: written by the command -->", "<!-- {kind}: end -->"

Figures = Mapping[str, object]


def keep(kind: str, *, on: date, machine: Figures, figures: Mapping[str, Figures], folder: Path = FOLDER) -> Path:
    """Write `results/<date>-<kind>.json` and bring that kind's tables in `README.md` up to date."""
    record = {"date": on.isoformat(), "machine": dict(machine), **{name: dict(part) for name, part in figures.items()}}
    target = folder / "results" / f"{on.isoformat()}-{kind}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(_rounded(record), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    readme = folder / "README.md"
    readme.write_text(with_tables(readme.read_text(encoding="utf-8"), kind, _rounded(record)), encoding="utf-8")
    return target


def with_tables(text: str, kind: str, record: object) -> str:
    """The text with what stands between the kind's two marks made new."""
    begin, end = _BEGIN.format(kind=kind), _END.format(kind=kind)
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n\n{_tables(record)}\n{end}{after}"


def _tables(record: object) -> str:
    assert isinstance(record, dict)
    machine = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in record["machine"].items())
    lines = [f"Measured on {record['date']}: {machine}.", ""]
    for name, part in record.items():
        if name in ("date", "machine"):
            continue
        lines += [f"| {name.replace('_', ' ')} | |", "|---|---:|"]
        lines += [f"| {figure.replace('_', ' ')} | {value} |" for figure, value in part.items() if _is_plain(value)]
        lines.append("")
        for figure, value in part.items():
            if not _is_plain(value):
                said = ", ".join(f"`{inner}` {_shown(found)}" for inner, found in value.items())
                lines += [f"{figure.replace('_', ' ').capitalize()}: {said}.", ""]
    return "\n".join(lines)


def _is_plain(value: object) -> bool:
    return not isinstance(value, Mapping)


def _shown(value: object) -> str:
    return " / ".join(map(str, value)) if isinstance(value, list) else str(value)


def _rounded(value: object) -> object:
    """Three significant digits: more would be noise."""
    if isinstance(value, float):
        return float(f"{value:.3g}")
    if isinstance(value, Mapping):
        return {name: _rounded(inner) for name, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list) else value
