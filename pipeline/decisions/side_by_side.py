"""The same function over many arguments, on as many cores as there are: for what Python computes, and long enough."""

import multiprocessing
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from pipeline.build.parsed import begin_worker

Result = TypeVar("Result")

_CHUNKS_PER_CORE = 4


def side_by_side(
    function: Callable[..., Result], arguments: Iterable[Sequence[Any]], *, fewest: int, cores: int | None = None
) -> list[Result]:
    """`function(*each)` of all arguments, in their order. It and they must be picklable, and it must be pure.

    fewest: below so many a process takes longer to begin than it saves: this one does them all. It also does where
    another cannot be had, and what `function` raises is raised. cores: those that this process may use.
    """
    asked = list(arguments)
    cores = len(os.sched_getaffinity(0)) if cores is None else cores
    if len(asked) < fewest or cores < 2 or multiprocessing.current_process().daemon:
        return [function(*each) for each in asked]
    chunk = -(-len(asked) // (cores * _CHUNKS_PER_CORE))
    try:
        # Not forked: other threads of this process may be inside DuckDB.
        spawned = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(max_workers=cores, mp_context=spawned, initializer=begin_worker) as pool:
            return list(pool.map(function, *zip(*asked, strict=True), chunksize=chunk))
    except (BrokenProcessPool, OSError):
        return [function(*each) for each in asked]
