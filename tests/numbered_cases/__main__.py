"""`python -m tests.numbered_cases [7 ...]`: the worked examples of bills and the tests that show each."""

import sys

from tests.numbered_cases import CASES, shown


def main(wanted: list[str]) -> int:
    """Print the list; 1 when an example has no test, 2 for a number that there is not."""
    unknown = [text for text in wanted if text not in map(str, CASES)]
    if unknown:
        print(f"No such case: {', '.join(unknown)}. There are 1 to {len(CASES)}.", file=sys.stderr)
        return 2
    found = shown()
    for number in [int(text) for text in wanted] or CASES:
        print(f"{number:2}  {CASES[number]} ({len(found[number])} tests)")
        for test in found[number]:
            print(f"      {test}")
    return int(any(not found[number] for number in CASES))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
