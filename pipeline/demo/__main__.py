"""`python -m pipeline.demo FOLDER`: write the demo company and say what was written."""

import sys
from collections import Counter
from pathlib import Path

from pipeline.demo import AS_OF, generate
from pipeline.errors import BreakevenError


def main(arguments: list[str]) -> int:
    """Exit code 0, or 2 for a wrong command line or a folder that is not the demo's."""
    if len(arguments) != 1:
        sys.stderr.write("Usage: python -m pipeline.demo FOLDER\n")
        return 2
    folder = Path(arguments[0])
    try:
        truth = generate(folder)
    except BreakevenError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write(f"Generated demo company in {folder}: {truth.first_day} to {truth.last_day}, as of {AS_OF}\n")
    places = Counter(str(Path(name).parent) for name in truth.files)
    width = max(map(len, places))
    for place, count in sorted(places.items()):
        size = sum((folder / name).stat().st_size for name in truth.files if str(Path(name).parent) == place)
        sys.stdout.write(f"  {place:<{width}} {count:>4} files {size / 1_000_000:>8.1f} MB\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
