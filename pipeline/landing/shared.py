"""Files that several machines share through a store: put once by whoever made them, fetched when they are read."""

import os
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path
from threading import Lock
from typing import TypeVar

from pipeline.errors import BuildError, LandingError
from pipeline.landing.store import S3_CONNECTIONS, Store

_Answer = TypeVar("_Answer")
# Above this, what is there already is found by listing, not by trying to put each once more.
_WORTH_LISTING = 64


class LostFileError(BuildError):
    """A file that a snapshot or an index names can be had neither here nor from the store."""


class SharedFiles:
    """The files below a folder whose names say what is in them, and a store that has them under the same names.

    It saves work and holds nothing that is not made again from landing. So the first time that the store refuses or
    cannot be reached is the last time that it is asked: `problem` says why, and all goes on with what lies here.
    """

    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self.problem: str | None = None
        self._folder = folder
        self._here: set[Path] = set()
        self._there: set[str] = set()
        self._under_way: list[Future[None]] = []
        self._lock = Lock()

    # One pool for each way: what is read must not wait behind what is put.
    @cached_property
    def _puts(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(S3_CONNECTIONS, thread_name_prefix="shared-put")

    @cached_property
    def _gets(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(S3_CONNECTIONS, thread_name_prefix="shared-get")

    def key_of(self, file: Path) -> str:
        return file.relative_to(self._folder).as_posix()

    def bring(self, files: Iterable[Path], *, keys: Mapping[Path, str] | None = None) -> None:
        """Have these files lie here, fetching several at a time. `keys`: for one that lies there under another name.

        Raises LostFileError where one cannot be had.
        """
        wanted = [file for file in dict.fromkeys(files) if file not in self._here]
        missing = [file for file in wanted if not file.exists()]
        with self._lock:
            pool = self._gets
        for lost in pool.map(lambda file: self._fetch(file, (keys or {}).get(file) or self.key_of(file)), missing):
            if lost is not None:
                raise LostFileError(lost)
        self._here.update(wanted)

    def _fetch(self, file: Path, key: str) -> str | None:
        """Fetch one file: written aside, then linked into place. What is wrong where it cannot be had."""
        file.parent.mkdir(parents=True, exist_ok=True)
        aside = file.parent / f".{file.name}.{os.getpid()}.{secrets.token_hex(4)}"
        try:
            found = self._asked(lambda: self.store.copy_to(key, aside), otherwise=None)
            if found is None:
                return f"{key} lies in the shared cache only. {self.problem}"
            if not found:
                return f"{key} lies neither here nor in the shared cache. `breakeven rebuild` makes it again."
            with suppress(FileExistsError):
                os.link(aside, file)
            return None
        finally:
            aside.unlink(missing_ok=True)

    def offer(self, files: Sequence[Path]) -> None:
        """Put files, one after the other, while the caller goes on. One that is there already stays as it is."""
        unsure = [file for file in files if self.key_of(file) not in self._there]
        if unsure and self.problem is None:
            with self._lock:
                self._under_way.append(self._puts.submit(self._put_files, unsure))
            self.believe(map(self.key_of, unsure))

    def offer_each(self, folder: str, files: Sequence[Path]) -> None:
        """Offer files below a folder that may have been put before, by another process or another machine."""
        unsure = [file for file in files if self.key_of(file) not in self._there]
        if len(unsure) > _WORTH_LISTING:
            self.believe(self.keys(folder))
        for file in unsure:
            self.offer([file])

    def has(self, file: Path) -> bool:
        """Whether a file lies here, or is believed to be in the store."""
        return file in self._here or self.key_of(file) in self._there or file.exists()

    def believe(self, keys: Iterable[str]) -> None:
        """Take it that these are in the store: something that is put after them names them."""
        self._there.update(keys)

    def doubt(self) -> None:
        """Believe nothing of that any more: something that was named could not be had."""
        self._there.clear()

    def _put_files(self, files: Sequence[Path]) -> None:
        for file in files:
            # What does not lie here was fetched by nobody yet: it is there.
            if file.exists():
                self._asked(partial(self.store.put_file_if_absent, self.key_of(file), file), otherwise=False)

    def settle(self) -> bool:
        """Wait for all that was offered. False where some of it is not there."""
        with self._lock:
            under_way, self._under_way = self._under_way, []
        for put in under_way:
            put.result()
        return self.problem is None

    def put(self, key: str, content: bytes) -> None:
        """Put a small file now."""
        self._asked(lambda: self.store.put_if_absent(key, content), otherwise=False)

    def read(self, keys: Sequence[str]) -> list[bytes | None]:
        """Small files, in the order asked; None for one that is not there."""
        if not keys:
            return []
        with self._lock:
            pool = self._gets
        return list(pool.map(lambda key: self._asked(lambda: self.store.find(key), otherwise=None), keys))

    def keys(self, folder: str) -> list[str]:
        """What lies below a folder."""
        return self._asked(lambda: list(self.store.keys(folder)), otherwise=[])

    def _asked(self, ask: Callable[[], _Answer], *, otherwise: _Answer) -> _Answer:
        if self.problem is not None:
            return otherwise
        try:
            return ask()
        except (LandingError, OSError) as error:
            self.problem = f"The shared cache is left out: {error}"
            return otherwise
