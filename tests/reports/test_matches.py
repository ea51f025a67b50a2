"""Whether both lanes have one model, as it is read: alike answers in a line, in the card of its workload."""

from pipeline.decisions import model_matches
from pipeline.reports.matches import alike
from tests.reports.fake_snapshot import DAY
from tests.reports.test_monthly import changed, facts, page


def match(workload: str = "chat", **fields):
    return dict.fromkeys(model_matches.SCHEMA) | {
        "usage_date": DAY,
        "workload": workload,
        "deployment_id": "llama",
        "api_provider": "anthropic",
        "api_model": "haiku",
        "served_model": "llama-70b",
        "relation": "other_weights",
        "reason": "other weights",
        **fields,
    }


def test_workloads_of_which_the_same_is_so_share_a_line() -> None:
    rows = [match("a"), match("b"), match("c", api_model="opus"), match("d", reason="not known")]
    assert alike(rows) == [
        "Models of a, b (haiku / llama-70b); c (opus / llama-70b): other weights.",
        "Models of d (haiku / llama-70b): not known.",
    ]


def test_the_report_says_it_beside_the_verdict(tmp_path):
    told = facts(page(tmp_path, changed(fct_model_matches_daily=[match(), match("other")])), "chat")
    assert told["Models"] == "haiku and llama-70b (served by llama): other weights"
