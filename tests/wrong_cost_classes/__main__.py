"""`python -m tests.wrong_cost_classes [B7 ...]`: the classes of wrong bills and the tests that cover each."""

import sys

from tests.wrong_cost_classes import CLASSES, NOT_TOUCHED, coverage


def main(wanted: list[str]) -> int:
    """Print the list; 1 when a class that this release touches has no test, 2 for a class that does not exist."""
    unknown = [name for name in wanted if name not in CLASSES]
    if unknown:
        print(f"No such class: {', '.join(unknown)}. There are B1 to B30.", file=sys.stderr)
        return 2
    found = coverage()
    for name in wanted or CLASSES:
        note = ", not touched by this release's sources" if name in NOT_TOUCHED else ""
        print(f"{name}  {CLASSES[name]} ({len(found[name])} tests{note})")
        for test in found[name]:
            print(f"      {test}")
    return int(any(not found[name] for name in CLASSES if name not in NOT_TOUCHED))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
