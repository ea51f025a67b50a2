"""`explain weights`: what a token of each class weighs in a joint GPU bill, and what of the bill it got, by hand.

Formulas: economics.md section 5, written out here from the hours themselves; the published rows are compared.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import date
from fractions import Fraction
from itertools import combinations
from typing import Any

from pipeline.explain.evidence import Evidence, NothingToExplainError, Record
from pipeline.explain.explanation import Equality, Explanation, Rows, exact_text
from pipeline.explain.near import nearest
from pipeline.explain.verdict_arithmetic import Arithmetic

_CLASSES = ("input_uncached", "input_cache_read", "output")
_SHORT = {"input_uncached": "u", "input_cache_read": "r", "output": "o"}
_FEWEST_HOURS = 24
_QUANTUM = Fraction(1, 10**18)


def explain_weights(evidence: Evidence, *, deployment: str, usage_date: date | None = None) -> Explanation:
    """The saturated hours, the sums that a fit takes of them, the weights that solve them, the split of the bill."""
    rows = _published(evidence, deployment, usage_date)
    day = rows[0]["usage_date"]
    declared = evidence.ask("verdict_deployment", deployment=deployment, workload=None, usage_date=day)
    saturated = evidence.ask("weights_hours", deployment=deployment, usage_date=day)
    hours = [hour for hour in saturated if hour["is_evidence"]]
    left_out = [hour for hour in saturated if not hour["is_evidence"]]
    done = Arithmetic()
    done.check("saturated_hours_count", Fraction(len(hours)), rows[0]["saturated_hours_count"])
    done.check("left_out_hours_count", Fraction(len(left_out)), rows[0]["left_out_hours_count"])
    fitted = _write_fit(done, rows, hours) if len(hours) >= _FEWEST_HOURS else {}
    _write_split(done, rows, fitted, declared[-1] if declared else {})
    reasons = dict.fromkeys(row["reason"] for row in rows if row["reason"])
    return Explanation(
        title=f"What a token of each class weighs in the bill of {deployment}, {day}",
        snapshot_id=evidence.snapshot.snapshot_id,
        formula=(*done.lines, *(f"not fitted: {reason}" for reason in reasons)),
        figures=tuple(
            Rows(
                f"{row['token_class']}: fct_token_class_weights_daily, fct_unit_costs_daily",
                ("field", "value"),
                tuple((name, value) for name, value in row.items() if value is not None),
            )
            for row in rows
        ),
        inputs=(
            Rows.of("Hours in which requests always waited", hours),
            *([Rows.of("Left out: cache reads are counted otherwise than that day", left_out)] if left_out else []),
        ),
        objects=(),
        equalities=tuple(done.equalities),
        outside_check=(
            "A spreadsheet's LINEST without a constant over the hours below fits the same, where none of it is below "
            f"0: the GPU time of {deployment} by the tokens of each class.",
        ),
    )


def _write_fit(done: Arithmetic, rows: Sequence[Record], hours: Sequence[Record]) -> dict[str, Fraction]:
    """Milliseconds a token by class: of each set of classes that may weigh anything, what leaves the least."""
    busy = [int(hour["serving_gpu_milliseconds"]) for hour in hours]
    # None: none of the hours counts the class, or the hour had no prompt at all.
    tokens = {name: [int(hour[f"{name}_tokens"] or 0) for hour in hours] for name in _CLASSES}
    seen = [name for name in _CLASSES if any(tokens[name])]
    sums = {
        (one, other): sum(a * b for a, b in zip(tokens[one], tokens[other], strict=True))
        for one in seen
        for other in seen
    }
    crossed = {name: sum(a * b for a, b in zip(busy, tokens[name], strict=True)) for name in seen}
    squared = sum(value * value for value in busy)
    done.lines.append(
        f"t = GPU-milliseconds of an hour, {', '.join(f'{_SHORT[name]} = {name} tokens' for name in seen)}"
    )
    done.lines.append(f"sum t t = {squared}")
    for name in seen:
        done.lines.append(f"sum t {_SHORT[name]} = {crossed[name]}")
    for one, other in (*((name, name) for name in seen), *combinations(seen, 2)):
        done.lines.append(f"sum {_SHORT[one]} {_SHORT[other]} = {sums[one, other]}")

    def rest(weights: Mapping[str, Fraction]) -> Fraction:
        fits = sum((value * crossed[name] for name, value in weights.items()), Fraction(0))
        pairs = sum(
            (a * b * sums[one, other] for one, a in weights.items() for other, b in weights.items()), Fraction(0)
        )
        return squared - 2 * fits + pairs

    best: dict[str, Fraction] = {}
    for size in range(1, len(seen) + 1):
        for chosen in combinations(seen, size):
            found = _by_cramer(chosen, sums, crossed)
            if found is not None and min(found.values()) >= 0 and rest(found) < rest(best):
                best = found
    _write_weights(done, best, sums, crossed)
    published = {row["token_class"]: row for row in rows}
    for name in seen:
        if name in published:
            per_mtok = best.get(name, Fraction(0)) * 1000
            done.step(
                f"GPU-seconds of 1M {name}", f"{exact_text(best.get(name, Fraction(0)))} x 1000000 / 1000", per_mtok
            )
            done.check(f"{name} gpu_seconds_per_mtok", per_mtok, published[name]["gpu_seconds_per_mtok"])
    if squared:
        # With weights that solve the sums, what is left is the sum less what they explain of it.
        explained = "".join(f" - {exact_text(value)} x {crossed[name]}" for name, value in best.items())
        done.step("what the fit leaves of sum t t", f"{squared}{explained}", rest(best))
        r_squared = 1 - rest(best) / squared
        done.step("R squared", f"1 - {exact_text(rest(best))} / {squared}", r_squared)
        done.check("r_squared_ratio", r_squared, rows[0]["r_squared_ratio"])
    _check_condition(done, seen, sums, rows[0]["condition_ratio"])
    return {name: best.get(name, Fraction(0)) for name in seen}


def _determinant(matrix: Sequence[Sequence[int]]) -> int:
    if len(matrix) == 1:
        return matrix[0][0]
    return sum(
        (-1) ** column * value * _determinant([[*row[:column], *row[column + 1 :]] for row in matrix[1:]])
        for column, value in enumerate(matrix[0])
    )


def _by_cramer(
    chosen: Sequence[str], sums: Mapping[tuple[str, str], int], crossed: Mapping[str, int]
) -> dict[str, Fraction] | None:
    """The weights of these classes with the least rest, were any number allowed; None where there is not one answer."""
    matrix = [[sums[one, other] for other in chosen] for one in chosen]
    whole = _determinant(matrix)
    if not whole:
        return None
    return {
        name: Fraction(
            _determinant([[*row[:at], crossed[one], *row[at + 1 :]] for one, row in zip(chosen, matrix, strict=True)]),
            whole,
        )
        for at, name in enumerate(chosen)
    }


def _write_weights(
    done: Arithmetic,
    weights: Mapping[str, Fraction],
    sums: Mapping[tuple[str, str], int],
    crossed: Mapping[str, int],
) -> None:
    """What makes the weights the least: the sums with them equal those of the time."""
    for name in weights:
        spelled = " + ".join(f"{exact_text(value)} x {sums[name, other]}" for other, value in weights.items())
        whole = sum((value * sums[name, other] for other, value in weights.items()), Fraction(0))
        done.step(f"fitted sum t {_SHORT[name]}", spelled, whole)
        done.equalities.append(Equality(f"fitted sum t {_SHORT[name]} = sum t {_SHORT[name]}", whole, crossed[name]))


def _check_condition(
    done: Arithmetic, seen: Sequence[str], sums: Mapping[tuple[str, str], int], published: float | None
) -> None:
    """The root of greatest over least eigenvalue of the columns' cosines; to six digits, as rounding leaves them."""
    cosines = {
        (one, other): math.sqrt(Fraction(sums[one, other] ** 2, sums[one, one] * sums[other, other]))
        for one, other in combinations(seen, 2)
    }
    for (one, other), cosine in cosines.items():
        done.lines.append(f"cosine of {_SHORT[one]} and {_SHORT[other]}: {cosine:.12f}")
    if published is None:
        return
    spread = math.sqrt(sum(cosine * cosine for cosine in cosines.values()) / 3) if len(seen) == 3 else 0.0
    least, most = 1.0, 1.0
    if len(seen) == 2:
        [cosine] = cosines.values()
        least, most = 1 - cosine, 1 + cosine
    elif spread:
        # The roots of a cubic whose matrix has ones on its diagonal: Smith, Comm. ACM 4 (1961) 168.
        turned = math.acos(max(-1.0, min(1.0, math.prod(cosines.values()) / spread**3))) / 3
        roots = [1 + 2 * spread * math.cos(turned + 2 * math.pi * third / 3) for third in range(3)]
        least, most = min(roots), max(roots)
    condition = math.sqrt(most / least) if least > 0 else math.inf
    done.lines.append(f"condition number: {condition:.6g}")
    is_near = math.isclose(condition, published, rel_tol=1e-6)
    done.equalities.append(
        Equality("condition_ratio, to 6 digits: recomputed = published", Fraction(is_near), Fraction(1))
    )


def _write_split(
    done: Arithmetic, rows: Sequence[Record], fitted: Mapping[str, Fraction], declared: Mapping[str, Any]
) -> None:
    """Whole units a token, and each class's share of the day's bill by units x tokens."""
    method = rows[0]["split_method"]
    if method is None:
        done.lines.append("the bill of the day is not split: it is not known, or no token of it is")
        return
    done.lines.append(f"the bill of the day is split by {method}")
    if method == "fitted_gpu_seconds":
        most = max(fitted.get(row["token_class"], Fraction(0)) for row in rows)
        for row in rows:
            own = fitted.get(row["token_class"], Fraction(0))
            units = max(1, round(own / most * 10**7)) if own else 0
            spelled = f"{exact_text(own)} / {exact_text(most)} x 10000000"
            done.lines.append(f"units of a token of {row['token_class']}: {spelled}, whole: {units}")
            done.check(f"{row['token_class']} token_weight_units", Fraction(units), row["token_weight_units"])
    weights = {row["token_class"]: _weight(row, method, declared) for row in rows}
    whole = sum(weights.values())
    for row in rows:
        name, weight = row["token_class"], weights[row["token_class"]]
        for column, cost in (("full_cost_rc", "whole_full_cost_rc"), ("active_cost_rc", "whole_active_cost_rc")):
            if row[cost] is None or row[column] is None or not whole:
                continue
            share = Fraction(row[cost]) * weight / whole
            done.step(f"{name} {column}", f"{exact_text(row[cost])} x {weight} / {whole}", share)
            # What does not divide goes to the largest remainders, a quantum each.
            is_near = abs(share - Fraction(row[column])) < _QUANTUM
            held = Fraction(row[column])
            done.equalities.append(
                Equality(f"{name} {column}, to a quantum: recomputed = published", held if is_near else share, held)
            )
    for column, cost in (("full_cost_rc", "whole_full_cost_rc"), ("active_cost_rc", "whole_active_cost_rc")):
        if rows[0][cost] is not None and all(row[column] is not None for row in rows):
            parts = sum((Fraction(row[column]) for row in rows), Fraction(0))
            done.equalities.append(
                Equality(f"{column}: the classes together = the bill", parts, Fraction(rows[0][cost]))
            )


def _weight(row: Record, method: str, declared: Mapping[str, Any]) -> int:
    """All of a class's tokens of the day, in the units of the split."""
    tokens = int(row["tokens"])
    if method == "token_count" or not tokens:
        return tokens
    if method != "declared_throughput":
        return tokens * int(row["token_weight_units"])
    rate = {
        "input_uncached": declared["prefill_tokens_per_second"],
        "input_cache_read": declared["cached_tokens_per_second"] or declared["prefill_tokens_per_second"],
        "output": declared["decode_tokens_per_second"],
    }[row["token_class"]]
    # Replica-nanoseconds, whole, and at least one.
    return max(1, tokens * 10**15 // round(Fraction(rate) * 10**6))


def _published(evidence: Evidence, deployment: str, usage_date: date | None) -> list[Record]:
    if usage_date is None:
        newest = evidence.select(
            "select max(usage_date) as usage_date from fct_token_class_weights_daily where deployment_id = $deployment",
            {"deployment": deployment},
        )
        usage_date = newest[0]["usage_date"]
    found = [] if usage_date is None else evidence.ask("weights", deployment=deployment, usage_date=usage_date)
    if found:
        return found
    raise _nothing(evidence, deployment, usage_date)


def _nothing(evidence: Evidence, deployment: str, usage_date: date | None) -> NothingToExplainError:
    when = f" on {usage_date}" if usage_date is not None else ""
    what = f"No token was served by {deployment}{when}, or it was not declared then."
    mart = "fct_token_class_weights_daily"
    return nearest(evidence, mart=mart, what=what, wanted={"deployment_id": deployment})
