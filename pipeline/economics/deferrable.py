"""Work that may wait: how much of it fits into the hours that are left, each part within its deadline.

Earliest deadline first serves the most that any schedule serves, in whatever order the hours are full. Source:
economics.md 4; Glover 1967 for the matching in a convex bipartite graph that this is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush


@dataclass(frozen=True)
class Waiting:
    """Work in whole units that is there from an hour on. `deadline_hours` 0: it must be served in that very hour."""

    units_by_hour: Sequence[int]
    deadline_hours: int


def most_served(waiting: Sequence[Waiting], *, capacity_per_hour: int) -> int:
    """The most units that can be served within their deadlines, `capacity_per_hour` of them in each hour.

    All have one number of hours; what is still waiting after the last one is not served. O(hours x deadlines log).
    """
    hours = len(waiting[0].units_by_hour) if waiting else 0
    queue: list[tuple[int, int]] = []
    served = 0
    for hour in range(hours):
        for found in waiting:
            units = found.units_by_hour[hour]
            if units:
                heappush(queue, (hour + found.deadline_hours, units))
        left = capacity_per_hour
        while queue and left:
            deadline, units = heappop(queue)
            if deadline < hour:
                continue
            taken = min(units, left)
            left -= taken
            if units > taken:
                heappush(queue, (deadline, units - taken))
        served += capacity_per_hour - left
    return served
