"""What a `/metrics` body may and may not be read as."""

from datetime import datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.formats.exposition import (
    ExpositionError,
    VllmRow,
    instant,
    number,
    parse_exposition,
    read_dcgm,
    read_vllm,
)

V1 = """\
# HELP process_start_time_seconds Start time of the process since unix epoch in seconds.
# TYPE process_start_time_seconds gauge
process_start_time_seconds 1.76195520025e+09
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="org/chat"} 3.0
vllm:num_requests_running{engine="1",model_name="org/chat"} 1.0
# HELP vllm:num_requests_waiting Number of requests waiting to be processed.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="org/chat"} 0.0
vllm:num_requests_waiting{engine="1",model_name="org/chat"} 2.0
# HELP vllm:prompt_tokens_total Number of prefill tokens processed.
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{engine="0",model_name="org/chat"} 1.2345e+06
vllm:prompt_tokens_total{engine="1",model_name="org/chat"} 70.0
# HELP vllm:prompt_tokens_by_source_total Number of prompt tokens by source.
# TYPE vllm:prompt_tokens_by_source_total counter
vllm:prompt_tokens_by_source_total{engine="0",model_name="org/chat",source="local_compute"} 1.2e+06
vllm:prompt_tokens_by_source_total{engine="0",model_name="org/chat",source="local_cache_hit"} 30000.0
vllm:prompt_tokens_by_source_total{engine="0",model_name="org/chat",source="external_kv_transfer"} 4500.0
vllm:prompt_tokens_by_source_total{engine="1",model_name="org/chat",source="local_compute"} 70.0
vllm:prompt_tokens_by_source_total{engine="1",model_name="org/chat",source="local_cache_hit"} 0.0
# HELP vllm:generation_tokens_total Number of generation tokens processed.
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{engine="0",model_name="org/chat"} 98765.0
vllm:generation_tokens_total{engine="1",model_name="org/chat"} 5.0
# HELP vllm:request_success_total Count of successfully processed requests.
# TYPE vllm:request_success_total counter
vllm:request_success_total{engine="0",finished_reason="stop",model_name="org/chat"} 40.0
vllm:request_success_total{engine="0",finished_reason="length",model_name="org/chat"} 2.0
vllm:request_success_total{engine="1",finished_reason="stop",model_name="org/chat"} 1.0
# HELP vllm:cache_config_info Information of the LLMEngine CacheConfig
# TYPE vllm:cache_config_info gauge
vllm:cache_config_info{block_size="16",engine="0"} 1.0
"""

V0 = """\
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{model_name="m"} 12.0
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{model_name="m"} 7.0
"""

DCGM_LABELS = 'gpu="0",UUID="GPU-1",modelName="T4",Hostname="node-1"'


def dcgm(name: str, value: str, labels: str = DCGM_LABELS) -> str:
    return f"{name}{{{labels}}} {value}\n"


def test_each_engine_of_a_body_is_its_own_row_with_exact_counters() -> None:
    assert read_vllm(V1) == [
        VllmRow(
            model_name="org/chat",
            engine_rank="0",
            prompt_tokens=1_234_500,
            prompt_tokens_cached=34_500,
            generation_tokens=98_765,
            requests_success=42,
            requests_running=3,
            requests_waiting=0,
            process_started_at=datetime.fromisoformat("2025-11-01T00:00:00.250000"),
            engine_version=None,
            identity_gap_tokens=0,
            prompt_tokens_transferred=4_500,
        ),
        VllmRow(
            model_name="org/chat",
            engine_rank="1",
            prompt_tokens=70,
            prompt_tokens_cached=0,
            generation_tokens=5,
            requests_success=1,
            requests_running=1,
            requests_waiting=2,
            process_started_at=datetime.fromisoformat("2025-11-01T00:00:00.250000"),
            engine_version=None,
            identity_gap_tokens=0,
        ),
    ]


@pytest.mark.parametrize(
    ("change", "gap"),
    [
        (("", ""), 0),
        (('source="external_kv_transfer"} 4500.0', 'source="external_kv_transfer"} 4000.0'), 500),
        (('vllm:prompt_tokens_total{engine="0",model_name="org/chat"} 1.2345e+06',
          'vllm:prompt_tokens_total{engine="0",model_name="org/chat"} 2469000.0'), 1_234_500),
    ],
)  # fmt: skip
def test_computed_found_and_external_tokens_are_all_prompt_tokens(change: tuple[str, str], gap: int) -> None:
    assert read_vllm(V1.replace(*change))[0].identity_gap_tokens == gap


RECOMPUTED = (
    "# HELP vllm:prompt_tokens_recomputed_total Number of cached tokens recomputed for forward pass.\n"
    "# TYPE vllm:prompt_tokens_recomputed_total counter\n"
)


@settings(max_examples=60, deadline=None)
@given(
    prompts=st.lists(st.tuples(st.integers(2, 10**6), st.integers(0, 10**6), st.integers(0, 10**6)), max_size=8),
    off_by=st.integers(0, 3),
)
def test_a_prompt_that_was_found_whole_computes_its_last_token_again_and_no_count_is_off(
    prompts: list[tuple[int, int, int]], off_by: int
) -> None:
    """B1, B17: as vLLM's PromptTokenStats has it, prompt by prompt: what is found is here or had from elsewhere."""
    computed = here = elsewhere = again = cached = total = 0
    for length, hits, transferred in prompts:
        found = min(hits, length)
        skipped = found - 1 if found == length else found
        # The last token of a prompt of which all but one was found is counted so too, whichever way it came about.
        recomputed = int(skipped + 1 == length)
        external = min(transferred, skipped + recomputed)
        computed += length - skipped
        elsewhere += external
        here += skipped + recomputed - external
        again += recomputed
        cached += skipped
        total += length
    labels = 'engine="0",model_name="m"'
    body = "".join(
        (
            f"# TYPE vllm:prompt_tokens_total counter\nvllm:prompt_tokens_total{{{labels}}} {total + off_by}\n",
            f"# TYPE vllm:generation_tokens_total counter\nvllm:generation_tokens_total{{{labels}}} 7\n",
            "# TYPE vllm:prompt_tokens_by_source_total counter\n",
            *(
                f'vllm:prompt_tokens_by_source_total{{{labels},source="{source}"}} {count}\n'
                for source, count in (
                    ("local_compute", computed), ("local_cache_hit", here), ("external_kv_transfer", elsewhere),
                )
            ),
            f"{RECOMPUTED}vllm:prompt_tokens_recomputed_total{{{labels}}} {again}\n",
        )
    )  # fmt: skip
    (row,) = read_vllm(body)
    assert (row.prompt_tokens_cached, row.prompt_tokens_transferred) == (cached, elsewhere)
    assert row.identity_gap_tokens == off_by


def test_a_recomputed_count_of_another_unit_is_refused() -> None:
    odd = RECOMPUTED.replace("tokens recomputed", "blocks recomputed") + "vllm:prompt_tokens_recomputed_total 0\n"
    with pytest.raises(ExpositionError, match="it is only read as tokens"):
        read_vllm(V0 + odd)


def test_what_all_steps_worked_on_is_prompts_and_generated_where_nothing_was_found_or_computed_again() -> None:
    steps = '# TYPE vllm:iteration_tokens_total histogram\nvllm:iteration_tokens_total_sum{model_name="m"} 17\n'
    cached = '# TYPE vllm:prompt_tokens_cached_total counter\nvllm:prompt_tokens_cached_total{model_name="m"} 0\n'
    again = '# TYPE vllm:num_preemptions_total counter\nvllm:num_preemptions_total{model_name="m"} 1\n'
    (row,) = read_vllm(V0 + cached + steps + "# EOF\n")
    assert row.prompt_tokens is not None
    assert row.generation_tokens is not None
    assert row.identity_gap_tokens == abs(17 - row.prompt_tokens - row.generation_tokens)
    assert read_vllm(V0 + cached + again + steps + "# EOF\n")[0].identity_gap_tokens is None
    assert read_vllm(V0 + steps + "# EOF\n")[0].identity_gap_tokens is None  # whether anything was found is not told


def test_v0_without_the_engine_label_is_one_engine_and_what_it_hides_is_null() -> None:
    (row,) = read_vllm(V0)
    assert (row.engine_rank, row.prompt_tokens, row.generation_tokens) == ("0", 12, 7)
    unexposed = (row.prompt_tokens_cached, row.requests_success, row.requests_running, row.process_started_at)
    assert unexposed == (None, None, None, None)


@given(cut=st.integers(min_value=0, max_value=len(V1) - 1))
def test_any_cut_is_refused_or_leaves_every_figure_whole_or_null(cut: int) -> None:
    """B15: a cut body never looks like a smaller counter, which would read as a reset."""
    body = V1[:cut]
    if not body.endswith("\n"):
        with pytest.raises(ExpositionError):
            read_vllm(body)
        return
    try:
        rows = read_vllm(body)
    except ExpositionError:
        return
    whole = {row.engine_rank: vars(row) for row in read_vllm(V1)}
    assert {row.engine_rank for row in rows} == set(whole)
    for row in rows:
        assert all(value in (None, whole[row.engine_rank][name]) for name, value in vars(row).items())


def test_a_cut_in_the_middle_of_a_number_is_refused_with_the_line() -> None:
    cut = V1[: V1.index("98765.0") + 3]
    with pytest.raises(ExpositionError, match=r"cut: its last line does not end: .*987'"):
        read_vllm(cut)


def test_an_engine_without_its_generation_counter_is_a_cut_body() -> None:
    cut = V1[: V1.index("# HELP vllm:generation_tokens_total")]
    with pytest.raises(ExpositionError, match=r"'org/chat', engine '0' .*generation_tokens_total"):
        read_vllm(cut)


def test_a_family_that_ends_the_body_is_not_added_up_unless_the_body_says_eof() -> None:
    success = (
        "# TYPE vllm:request_success_total counter\n"
        'vllm:request_success_total{finished_reason="stop",model_name="m"} 40.0\n'
    )
    assert read_vllm(V0 + success)[0].requests_success is None
    assert read_vllm(V0 + success + "# EOF\n")[0].requests_success == 40


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", "empty"),
        ('"# HELP vllm:prompt_tokens_total x\\n"\n', "JSON-quoted"),
        ("<html>busy</html>\n", "line 1 is not exposition text"),
        (V0 + V0.splitlines()[1] + "\n", "one series twice"),
        (V0 + "# EOF\nx 1\n", "follows `# EOF`"),
        ('x{a="1",a="2"} 1\n', "not exposition text"),
        ("x ٣\n", "not exposition text"),
        ("x 1_000\n", "not exposition text"),
        ("# TYPE x counter\n# TYPE x gauge\nx 1\n", "a type it cannot have"),
    ],
)
def test_what_is_not_one_whole_body_is_refused_with_its_reason(body: str, reason: str) -> None:
    with pytest.raises(ExpositionError, match=reason):
        parse_exposition(body)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (V0.replace("prompt_tokens_total counter", "prompt_tokens_total histogram"), "declared a histogram"),
        ("# HELP vllm:prompt_tokens_total Number of prefill blocks.\n" + V0, "only read as tokens"),
        (V0.replace("12.0", "12.5"), "is 12.5, not a count"),
        (V0.replace("12.0", "-12"), "is -12, not a count"),
        (V0.replace("12.0", "9e+18"), r"is 9e\+18, not a count of at most 10"),
        (V0.replace('model_name="m"', 'name="m"'), "no label model_name"),
        (V0 + 'vllm:prompt_tokens_total{model_name="m",pod="b"} 9.0\n', "two series of vllm:prompt_tokens_total"),
        (V0 + 'vllm:num_requests_running{model_name="m",engine="0"} 1.0\n', "names no engine beside others"),
        ("# TYPE up gauge\nup 1\n", "engine is starting"),
    ],
)
def test_a_counter_that_means_something_else_is_refused(body: str, reason: str) -> None:
    """B17: a renamed unit, a changed type or two pods behind one address are reasons, not numbers."""
    with pytest.raises(ExpositionError, match=reason):
        read_vllm(body)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.2345e+06", 1_234_500),
        ("9.007199254740993e+15", 9_007_199_254_740_993),
        ("0.0", 0),
        ("0.156205", Decimal("0.156205")),
        ("NaN", None),
        ("+Inf", None),
        ("-Inf", None),
        ("9223372036854775792", None),
        ("9223372036854775794", None),
        ("9.223372036854775794e+18", None),
        ("9.223372036854776e+18", None),
        ("9223372036854775791", 9_223_372_036_854_775_791),
    ],
)
def test_a_printed_value_is_exact_and_a_blank_is_null(text: str, value: int | Decimal | None) -> None:
    """B17: DCGM's blank is no reading of nine quintillion."""
    assert number(text) == value
    assert parse_exposition(f"x {text}\n").samples[0].value == value


@pytest.mark.parametrize(
    ("seconds", "at"),
    [
        ("253402300798.9999999", datetime(9999, 12, 31, 23, 59, 59)),  # noqa: DTZ001 - UTC
        ("253402300799.9999999", None),
        ("0", None),
    ],
)
def test_what_a_process_began_at_is_a_date_or_nothing(seconds: str, at: datetime | None) -> None:
    assert instant(Decimal(seconds)) == at


def test_a_null_counter_stays_null_and_is_not_zero() -> None:
    (row,) = read_vllm(V0.replace("12.0", "NaN"))
    assert (row.prompt_tokens, row.generation_tokens) == (None, 7)


def test_escaped_labels_timestamps_and_tabs_are_read() -> None:
    body = 'x{path="C:\\\\a \\"b\\"\\nc",other=" 12 "} 4 1761955200000\ny\t5\nz{} 6\n'
    first, second, third = parse_exposition(body).samples
    assert dict(first.series.labels) == {"path": 'C:\\a "b"\nc', "other": " 12 "}
    assert (first.value, first.timestamp_ms) == (4, 1_761_955_200_000)
    assert (second.series.name, second.value, second.timestamp_ms) == ("y", 5, None)
    assert third.value == 6


def test_openmetrics_declares_a_counter_without_its_suffix() -> None:
    body = V0.replace("tokens_total counter", "tokens counter") + "# EOF\n"
    assert read_vllm(body) == read_vllm(V0)
    with pytest.raises(ExpositionError, match="declared a gauge"):
        read_vllm(body.replace("tokens counter", "tokens gauge"))


def test_without_a_process_start_the_counters_own_creation_says_when_they_began() -> None:
    """B16: a lifetime counter needs its beginning."""
    created = '# TYPE vllm:prompt_tokens_created gauge\nvllm:prompt_tokens_created{model_name="m"} 1.7619552e+09\n'
    assert read_vllm(V0 + created)[0].process_started_at == datetime.fromisoformat("2025-11-01T00:00:00")


def test_dcgm_readings_keep_their_units_and_blanks_are_null() -> None:
    """B18, B19: a blank or absent activity field is unknown, never idle."""
    body = (
        dcgm("DCGM_FI_DEV_GPU_UTIL", "91")
        + dcgm("DCGM_FI_PROF_GR_ENGINE_ACTIVE", "0.156205")
        + dcgm("DCGM_FI_PROF_SM_ACTIVE", "9223372036854775794")
        + dcgm("DCGM_FI_DEV_POWER_USAGE", "68.244000")
        + dcgm("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "2147483634")
        + dcgm("DCGM_FI_DEV_XID_ERRORS", "2147483634")
        + dcgm("DCGM_FI_DEV_FB_USED", "5120")
    )
    (row,) = read_dcgm(body)
    assert (row.util_gpu_pct, row.gr_engine_active_ppm, row.sm_active_ppm) == (91, 156_205, None)
    assert (row.power_milliwatts, row.energy_millijoules) == (68_244, 2_147_483_634)
    assert (row.memory_used_bytes, row.xid) == (5_368_709_120, None)
    assert dcgm_util("140737488355330") is None
    assert dcgm_util("2147483632") is None


def dcgm_util(value: str) -> int | None:
    (row,) = read_dcgm(dcgm("DCGM_FI_DEV_GPU_UTIL", value))
    return row.util_gpu_pct


def test_a_time_sliced_gpu_printed_once_per_pod_is_one_gpu() -> None:
    """B18: the device's value is not added over the pods that share it."""
    pods = [f'{DCGM_LABELS},pod="{pod}"' for pod in ("a", "b")]
    same = "".join(dcgm("DCGM_FI_DEV_GPU_UTIL", "40", labels) for labels in pods)
    assert [row.util_gpu_pct for row in read_dcgm(same)] == [40]
    two_truths = dcgm("DCGM_FI_DEV_GPU_UTIL", "40", pods[0]) + dcgm("DCGM_FI_DEV_GPU_UTIL", "41", pods[1])
    with pytest.raises(ExpositionError, match="two values for GPU GPU-1"):
        read_dcgm(two_truths)


def test_mig_instances_are_rows_of_their_own() -> None:
    body = "".join(
        dcgm("DCGM_FI_PROF_GR_ENGINE_ACTIVE", value, f'{DCGM_LABELS},GPU_I_ID="{instance}"')
        for instance, value in (("1", "0.5"), ("2", "0.25"))
    )
    assert [(row.gpu_instance_id, row.gr_engine_active_ppm) for row in read_dcgm(body)] == [
        ("1", 500_000),
        ("2", 250_000),
    ]


def test_dcgm_types_are_held_to_what_they_are_read_as() -> None:
    with pytest.raises(ExpositionError, match="declared a counter"):
        read_dcgm("# TYPE DCGM_FI_DEV_GPU_UTIL counter\n" + dcgm("DCGM_FI_DEV_GPU_UTIL", "1"))
    with pytest.raises(ExpositionError, match="no DCGM_FI"):
        read_dcgm("up 1\n")
