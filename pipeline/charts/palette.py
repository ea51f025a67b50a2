"""Colours of charts, by what they stand for. A page that has a dark side maps them by `[fill="#..."]` rules."""

from collections.abc import Mapping

# Apart for every common colour blindness (after Okabe and Ito 2008), in the order in which a GPU-hour is claimed.
GPU_STATES: Mapping[str, tuple[str, str]] = {
    "serving": ("serving", "#0b5fa5"),
    "loaded_idle": ("loaded, idle", "#e8a33d"),
    "starting": ("starting", "#63b7e6"),
    "held_other": ("held by other work", "#2f8f6f"),
    "training": ("training", "#7a8f2f"),
    "unallocated": ("unallocated", "#c4511a"),
    "unhealthy": ("unhealthy", "#b5679a"),
    "conflict": ("feeds disagree", "#e0d03c"),
    "not_present": ("paid, not present", "#5d4777"),
    "unobserved": ("unobserved", "#a7adb5"),
}
OTHER_STATE_COLOUR = "#d3d7dc"
DEMAND_COLOUR = "#0b5fa5"
FIRST_BREAKEVEN_COLOUR = "#c4511a"
STABLE_BREAKEVEN_COLOUR = "#2f8f6f"
SERVED_COLOUR = "#0b5fa5"
OVERFLOW_COLOUR = "#e8a33d"
API_COLOUR = "#c4511a"
SELF_HOST_COLOUR = "#0b5fa5"
MARK_COLOUR = "#5b6675"
MORE_COLOUR = "#c4511a"
LESS_COLOUR = "#2f8f6f"
CHANGE_COLOUR = "#5b6675"
INK = "#1c2430"
QUIET = "#5b6675"
LINE = "#d8dde3"
PAPER = "#fffffe"


def state_colour(state: str) -> str:
    return GPU_STATES[state][1] if state in GPU_STATES else OTHER_STATE_COLOUR


def state_label(state: str) -> str:
    return GPU_STATES[state][0] if state in GPU_STATES else state.replace("_", " ")
