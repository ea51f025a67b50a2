"""Taking the bytes of a redacted object away, wherever they lie. The event that says so has landed before."""

import shutil
from pathlib import Path

from pipeline.build.parsed import parsed_folder
from pipeline.errors import LandingError
from pipeline.landing.landing import Landing
from pipeline.landing.records import object_key
from pipeline.landing.shared import SharedFiles


def finish_redactions(landing: Landing, *, cache: Path, shared: SharedFiles | None) -> tuple[str, ...]:
    """Take away what a process that was stopped, or may not delete, has left. What is still left, in words."""
    left = []
    for sha256 in landing.redactions():
        # The copy that was read of it lies on every machine; in landing, the bytes go last.
        folder = parsed_folder(cache, sha256)
        shutil.rmtree(folder, ignore_errors=True)
        try:
            # A build of another machine that had begun before may have shared what it read after all was taken away.
            is_shared = shared is not None and any(True for _ in shared.store.keys(shared.key_of(folder)))
            if is_shared or landing.store.holds(object_key(sha256)):
                take_away(sha256, landing=landing, cache=cache, shared=shared)
        except LandingError as error:
            left.append(
                f"The redacted bytes {sha256[:12]} are read by nothing, but still lie there: {error} "
                f"Finish it: breakeven landing redact {sha256[:12]} --yes"
            )
    return tuple(left)


def take_away(sha256: str, *, landing: Landing, cache: Path, shared: SharedFiles | None) -> None:
    """Delete what was read of an object, here and shared, then the object with every version of it.

    Raises LandingError where the store does not let it. Safe to repeat.
    """
    folder = parsed_folder(cache, sha256)
    shutil.rmtree(folder, ignore_errors=True)
    if shared is not None:
        for key in list(shared.store.keys(shared.key_of(folder))):
            shared.store.erase(key)
    landing.store.erase(object_key(sha256))
