"""Small projects for commands, and doctor's own rows."""

from tests.pipeline.conftest import make_project, warm_cache

__all__ = ["make_project", "warm_cache"]
