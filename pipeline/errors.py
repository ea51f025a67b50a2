"""Errors a person can act on: each message says what is so, with the values, and what to do next."""


class BreakevenError(Exception):
    """Base of every error this package raises on purpose. The CLI prints it without a traceback."""

    exit_code = 1


class ConfigError(BreakevenError):
    """`breakeven.yaml` says something that cannot be so."""

    exit_code = 2

    def __init__(self, *, key: str, value: object, fix: str) -> None:
        super().__init__(f"breakeven.yaml: {key} is {value!r}. {fix}")
        self.key = key
        self.value = value
        self.fix = fix


class MissingExtraError(BreakevenError):
    """A command needs an optional dependency that this installation lacks."""

    exit_code = 2

    def __init__(self, *, command: str, module: str) -> None:
        super().__init__(
            f"`breakeven {command}` needs the Python module {module!r}, which this installation lacks. "
            "Install the full package: pip install 'breakeven[all]'"
        )


class SourceError(BreakevenError):
    """A source could not be fetched; nothing of this fetch counts, everything landed before still does."""

    exit_code = 3


class QuarantineError(BreakevenError):
    """An object cannot be read as what it claims to be. The object is kept, listed with this reason, not counted."""

    exit_code = 3


class LandingError(BreakevenError):
    """Landing is not as it should be: a truncated manifest, a format from the future, a full disk."""

    exit_code = 4


class BuildError(BreakevenError):
    """A node of the build failed; the snapshot that was current stays current."""

    exit_code = 5
