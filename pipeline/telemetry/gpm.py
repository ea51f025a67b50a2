"""GPM: how busy a GPU's processors were over a whole interval, on Hopper and later; of each MIG instance by itself.

Two samples bracket an interval, and a metric of the two is its mean over all of it, not a moment of it. Calls and
metric numbers: https://docs.nvidia.com/deploy/nvml-api/group__nvmlGpmStructs.html.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from pipeline.formats.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    # One call of one GPU: its name and arguments; null where it gives nothing, now or ever.
    Ask = Callable[..., Any]

# nvmlGpmMetricId_t: SM_UTIL, ANY_TENSOR_UTIL, DRAM_BW_UTIL, each in % of what there is.
_METRICS = (2, 5, 10)
GET, GET_MIG, METRICS, ALLOC, SUPPORT = (
    "nvmlGpmSampleGet",
    "nvmlGpmMigSampleGet",
    "nvmlGpmMetricsGet",
    "nvmlGpmSampleAlloc",
    "nvmlGpmQueryDeviceSupport",
)


class Activity(Frozen):
    """Mean share of an interval in which SMs, tensor cores and memory worked, in ppm. Null = unknown, never 0."""

    sm_ppm: int | None = None
    tensor_ppm: int | None = None
    dram_ppm: int | None = None


class Slice(Frozen):
    """A GPU instance of MIG: `slice_count` of the GPU's `of_slice_count` compute slices."""

    uuid: str
    gpu_instance_id: int
    slice_count: int
    of_slice_count: int
    multiprocessor_count: int
    memory_bytes: int


class Brackets:
    """The samples of one GPU: instance id (null: the whole GPU) -> the last one taken, and one to take the next in."""

    def __init__(self) -> None:
        self.is_supported: bool | None = None
        self.held: dict[int | None, tuple[Any, Any]] = {}
        self.taken: set[int | None] = set()
        self.busy: frozenset[int] = frozenset()  # instances whose SMs worked in the last interval


class Gpm:
    """Asks through `ask`, which knows what a GPU refuses for ever. The samples are never freed: they are used again."""

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml
        self._request: Any = None

    def activity(
        self, ask: Ask, handle: Any, brackets: Brackets, slices: Sequence[Slice] | None, *, is_whole: bool
    ) -> Activity:
        """Since the last call, unknown where that is not the interval (not `is_whole`). `slices`: null but in MIG.

        Of a GPU in MIG the mean of its slices by their size, where each is known; else unknown.
        """
        if not self._is_supported(ask, handle, brackets):
            return Activity()
        if slices is None:
            found = self._of_instance(ask, handle, brackets, None)
            return found if is_whole else Activity()
        parts = {one.gpu_instance_id: one for one in slices}  # two compute instances of one share its counters
        activities = [(one, self._of_instance(ask, handle, brackets, number)) for number, one in parts.items()]
        for gone in set(brackets.held) - set(parts):
            brackets.taken.discard(gone)
        brackets.busy = frozenset(one.gpu_instance_id for one, activity in activities if activity.sm_ppm)
        return weighted(activities) if is_whole else Activity()

    def _is_supported(self, ask: Ask, handle: Any, brackets: Brackets) -> bool:
        if brackets.is_supported is None:
            answer = ask(SUPPORT, handle)
            if answer is None:
                return False  # for now: only an answer is remembered
            brackets.is_supported = answer.isSupportedDevice == 1
        return brackets.is_supported

    def _of_instance(self, ask: Ask, handle: Any, brackets: Brackets, number: int | None) -> Activity:
        if number not in brackets.held:
            samples = (ask(ALLOC), ask(ALLOC))
            if samples[0] is None or samples[1] is None:
                return Activity()
            brackets.held[number] = samples
        last, following = brackets.held[number]
        is_bracketed = number in brackets.taken
        brackets.taken.discard(number)
        taken = ask(GET, handle, following) if number is None else ask(GET_MIG, handle, number, following)
        if taken is None:
            return Activity()
        brackets.held[number] = (following, last)
        brackets.taken.add(number)
        return self._between(ask, last, following) if is_bracketed else Activity()

    def _between(self, ask: Ask, last: Any, following: Any) -> Activity:
        if self._request is None:
            self._request = self._nvml.c_nvmlGpmMetricsGet_t()
        request = self._request
        request.version = self._nvml.NVML_GPM_METRICS_GET_VERSION
        request.numMetrics = len(_METRICS)
        request.sample1, request.sample2 = last, following
        for place, metric in enumerate(_METRICS):
            request.metrics[place].metricId = metric
        if ask(METRICS, request) is None:
            return Activity()
        return Activity(*(_ppm(request.metrics[place]) for place in range(len(_METRICS))))


def _ppm(metric: Any) -> int | None:
    """Rounded up: only a zero that was measured is evidence of idleness."""
    value = float(metric.value)
    return math.ceil(value * 10_000) if metric.nvmlReturn == 0 and 0 <= value <= 100 else None


def weighted(activities: Sequence[tuple[Slice, Activity]]) -> Activity:
    """The mean of slices by their size, over the whole GPU: what is in none does not work. Unknown with any of them."""
    if not activities:
        return Activity()

    def mean(figure: Callable[[Activity], int | None]) -> int | None:
        total = 0
        for one, activity in activities:
            known = figure(activity)
            if known is None:
                return None
            total += known * one.slice_count
        return min(-(-total // activities[0][0].of_slice_count), 1_000_000)

    return Activity(mean(lambda one: one.sm_ppm), mean(lambda one: one.tensor_ppm), mean(lambda one: one.dram_ppm))
