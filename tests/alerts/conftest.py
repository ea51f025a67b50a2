import pytest

from .fake_events import MemoryEvents
from .fake_slack import FakeSlack, serving
from .rows import Clock


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def slack():
    with serving(FakeSlack()) as running:
        yield running


@pytest.fixture
def events():
    return MemoryEvents()


@pytest.fixture
def clock():
    return Clock()
