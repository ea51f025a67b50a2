"""Of a verdict, what its tuned model costs beside tokens: hosting in every count that leaves something to the API.

Formulas: economics.md sections 2 to 4, written out here from the charges; the published row is compared.
"""

import math
from collections.abc import Sequence
from datetime import date
from fractions import Fraction

from pipeline.explain.evidence import Record
from pipeline.explain.explanation import exact_text
from pipeline.explain.verdict_arithmetic import Arithmetic
from pipeline.explain.verdict_inputs import VerdictInputs, days_in_month

_TRAINING_DAYS = 28
_MOST_MONTHS = 120


def write_tuned(done: Arithmetic, inputs: VerdictInputs, row: Record, charges: Sequence[Record]) -> None:
    """`row`: of fct_tuned_models_daily. `charges`: what is billed for the tuned model, in order of days. `done`: with
    the verdict's own steps in it.
    """
    if any(found["billed_cost_rc"] is None for found in charges):
        done.lines.append("what is billed for its tuned model is not all converted: nothing is added up of it")
        return
    settled = set(inputs.days)
    hosted = [found for found in charges if found["other_kind"] == "tuned_model_hosting"]
    hosting = _summed(
        done,
        "H, hosting of its tuned model over the window",
        [found for found in hosted if found["usage_date"] in settled],
        row["hosting_cost_rc"],
        column="hosting_cost_rc",
    )
    trained = [found for found in charges if found["other_kind"] == "fine_tune_training"]
    last = max((found["usage_date"] for found in trained), default=date.min)
    training = _summed(
        done,
        f"training of its tuned model, the {_TRAINING_DAYS} days up to the last of it",
        [found for found in trained if (last - found["usage_date"]).days < _TRAINING_DAYS],
        row["training_one_off_rc"],
        column="training_one_off_rc",
    )
    if row["status"] in ("decided", "pinned"):
        _write_verdict(done, inputs, row, hosting, training)


def _summed(done: Arithmetic, what: str, rows: Sequence[Record], published: object, *, column: str) -> Fraction:
    whole = sum((Fraction(found["billed_cost_rc"]) for found in rows), Fraction(0))
    if rows:
        done.step(what, " + ".join(exact_text(Fraction(found["billed_cost_rc"])) for found in rows), whole)
    done.check(f"with hosting, {column}", whole if rows else None, published)  # type: ignore[arg-type]
    return whole


def _write_verdict(done: Arithmetic, inputs: VerdictInputs, row: Record, hosting: Fraction, training: Fraction) -> None:
    stairs = done.stairs
    assert stairs is not None
    totals = []
    for found in done.alternatives:
        due = hosting if not found.replicas or found.overflow_hours else Fraction(0)
        totals.append(found.total_cost + due)
        spelled = f"{exact_text(found.total_cost)} + {exact_text(due)}"
        done.step(f"with hosting C({found.replicas})", spelled, totals[-1])
    best = min(range(len(totals)), key=lambda count: (totals[count], count))
    done.check("with hosting, best_replica_count", Fraction(best), row["best_replica_count"])
    done.check("with hosting, best_cost_rc", totals[best], row["best_cost_rc"])
    done.check("with hosting, api_only_cost_rc", totals[0], row["api_only_cost_rc"])
    days, month = len(inputs.days), days_in_month(inputs.day)
    overhead = stairs.overhead - hosting
    margin = stairs.price * stairs.capacity - stairs.rent
    first, count = None, stairs.minimum
    if count * margin < overhead and margin > 0:
        count = math.ceil(overhead / margin)
    if count * margin >= overhead:
        ahead = overhead + count * stairs.rent
        first = max(Fraction(0), ahead / stairs.price) if ahead > 0 else Fraction(0)
        if ahead > 0:
            spelled = (
                f"({exact_text(stairs.overhead)} - {exact_text(hosting)} + {count} x {exact_text(stairs.rent)}) / "
                f"{exact_text(stairs.price)} / {days}"
            )
            done.step(
                f"with hosting first break-even ({count} serving replicas)", spelled, first / days, "tokens a day"
            )
        else:
            done.lines.append("with hosting first break-even: from the first token, hosting outweighs a replica")
    else:
        done.lines.append("with hosting first break-even: none, at no volume")
    done.check(
        "with hosting, breakeven_first_tokens_per_day",
        None if first is None else first / days,
        row["breakeven_first_tokens_per_day"],
    )
    now = Fraction(inputs.row["current_cost_rc"])
    current = now + hosting
    done.step("with hosting cost as it is done today", f"{exact_text(now)} + {exact_text(hosting)}", current)
    done.check("with hosting, current_cost_rc", current, row["current_cost_rc"])
    saving = (current - totals[best]) / days * month
    spelled = f"({exact_text(current)} - {exact_text(totals[best])}) / {days} x {month}"
    done.step(f"with hosting saving a month of {month} days", spelled, saving)
    done.check("with hosting, saving_rc_per_month", saving, row["saving_rc_per_month"])
    if row["move_one_off_rc"] is not None:
        _write_payback(done, row, training, saving)


def _write_payback(done: Arithmetic, row: Record, training: Fraction, saving: Fraction) -> None:
    whole = Fraction(row["move_one_off_rc"])
    declared = whole - training
    if declared:
        done.lines.append(f"the migration declared costs {exact_text(declared)} once, beside the training")
    months = whole / saving if saving > 0 else None
    if months is None or months > _MOST_MONTHS:
        done.lines.append(f"a move pays back what it costs once within no {_MOST_MONTHS} months")
        done.check("with hosting, payback_months", None, row["payback_months"])
        return
    spelled = f"({exact_text(training)} + {exact_text(declared)}) / {exact_text(saving)}"
    done.step("months until a move has paid back what it costs once", spelled, months)
    done.check("with hosting, payback_months", months, row["payback_months"])
