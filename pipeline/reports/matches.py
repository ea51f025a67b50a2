"""Whether a workload's API models and the one that is served are the same model, in words."""

from collections.abc import Iterable, Mapping
from typing import Any

Answer = Mapping[str, Any]


def in_words(row: Answer) -> str:
    """`claude-haiku-4-5 and llama-3.3-70b (served by chat): other weights: ...`. `row`: of `model_matches`."""
    return f"{row['api_model']} and {row['served_model']} (served by {row['deployment_id']}): {row['reason']}"


def alike(rows: Iterable[Answer]) -> list[str]:
    """A sentence for each answer, after the workloads and pairs of models of which it is one."""
    pairs: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        pair = f"{row['api_model']} / {row['served_model']}"
        pairs.setdefault(row["reason"], {}).setdefault(pair, []).append(row["workload"])
    return [
        f"Models of {'; '.join(f'{_listed(names)} ({pair})' for pair, names in of.items())}: {reason}."
        for reason, of in pairs.items()
    ]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
