"""The small version of `benchmarks.workloads`: what is decided is a decision. Nothing is timed."""

from benchmarks.workloads import decided, measured_workloads, workload


def test_a_workload_fills_some_of_its_replicas_and_processes_agree() -> None:
    breakeven, best = decided(*workload(1, days=28, replicas=20))
    assert breakeven > 0
    assert 0 < best <= 20
    figures = measured_workloads(count=20, days=28, replicas=20)
    assert 0 < figures["best_replicas"] <= 20
    assert figures["workloads_on_all_cores_seconds"] > 0
