"""One worker process of the concurrency test: same folder of events, same Slack, own everything else."""

import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from pipeline.alerts.outbox import Outbox
from pipeline.alerts.slack import SlackOutlet

from .fake_events import FolderEvents
from .rows import alert, verdict


def announce_often(folder: str, api_url: str, token: str, runs: int) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        os.environ.pop(name, None)
    ready = Path(folder) / "ready"
    ready.mkdir(exist_ok=True)
    (ready / str(os.getpid())).touch()
    give_up = time.monotonic() + 60
    while len(list(ready.iterdir())) < 3:  # all start at once, whatever their imports took
        if time.monotonic() > give_up:
            sys.exit(3)
        time.sleep(0.005)
    for _ in range(runs):
        Outbox(
            events=FolderEvents(Path(folder)),
            outlet=SlackOutlet(token=token, channel="C0COSTS00", api_url=api_url),
            clock=lambda: datetime.now(UTC),
            sleep=time.sleep,
            company="Acme",
            currency="USD",
        ).announce(verdicts=[verdict()], alerts=[alert()])
