"""The plausibility gate: what the hardware cannot do is refused where it is declared, with the arithmetic."""

import pytest

from pipeline.config.file import parse_config
from pipeline.decisions.plausible import refuse_impossible
from pipeline.errors import ConfigError

STATED = "measured_on: 2026-11-01, source: own"


def declared(*, gpus: int = 2, hardware: str = "", prefill: str = "1000", decode: str = "100") -> str:
    return f"""
company: example
deployments:
  - deployment: chat
    model: llama-3.3-70b
    gpus_per_replica: {gpus}
    capacity: {{{STATED}, prefill_tokens_per_second: {prefill}, decode_tokens_per_second: {decode}}}
    {hardware}
"""


SEVENTY = "gpu: H100\n    parameters_billions: 70"


def test_what_is_possible_or_unknown_is_not_refused() -> None:
    for hardware in ("", SEVENTY, "gpu: H900\n    parameters_billions: 70", "gpu: H100"):
        fast = "1e9" if hardware != SEVENTY else "14134"
        refuse_impossible(parse_config(declared(hardware=hardware, prefill=fast)))


def test_a_class_above_the_compute_roofline_is_refused_where_it_is_declared() -> None:
    with pytest.raises(ConfigError) as refused:
        refuse_impossible(parse_config(declared(hardware=SEVENTY, prefill="14135")))
    said = str(refused.value)
    assert said.startswith("breakeven.yaml: deployments.0.capacity.prefill_tokens_per_second is '14135'. That is")
    assert "2 x 989.4 x 10^12 operations/s / (2 x 70 x 10^9 parameters x 1 of the tokens computed) = 14,134" in said


def test_decoding_above_the_bandwidth_of_the_requests_it_takes_is_refused() -> None:
    hardware = f"{SEVENTY}\n    requests_at_once: 4"
    refuse_impossible(parse_config(declared(hardware=hardware, decode="191")))
    with pytest.raises(ConfigError, match=r"decode_tokens_per_second is .* 192 tokens/s are 1.00 times .* bandwidth"):
        refuse_impossible(parse_config(declared(hardware=hardware, decode="192")))
    refuse_impossible(parse_config(declared(hardware=f"{hardware}\n    tokens_per_step: 2", decode="192")))


def test_a_model_that_does_not_fit_is_refused_with_the_number_of_gpus_that_do() -> None:
    with pytest.raises(ConfigError, match=r"deployments.0.gpus_per_replica is 1\. .* 2 GPUs a replica would hold it"):
        refuse_impossible(parse_config(declared(gpus=1, hardware=SEVENTY)))
    candidate = """
company: example
workloads:
  - workload: chat
    match: {account: main}
    candidate: {gpu: L4, gpus_per_replica: 1, parameters_billions: 8, bytes_per_parameter: 4}
"""
    with pytest.raises(ConfigError, match=r"workloads.0.candidate.gpus_per_replica is 1\. .* 8 x 10\^9 x 4 bytes"):
        refuse_impossible(parse_config(candidate))
    refuse_impossible(parse_config(candidate.replace("gpus_per_replica: 1, ", "")))


def test_active_parameters_are_a_part_of_what_a_deployment_holds() -> None:
    with pytest.raises(ConfigError, match=r"deployments\.0\.active_parameters_billions"):
        parse_config(declared(hardware="active_parameters_billions: 8"))
