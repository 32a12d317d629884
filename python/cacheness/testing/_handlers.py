"""The contract of handlers."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..cache import Cache
from ..config import CompressionConfig
from ..handlers import HandlerRegistry
from ._suite import Suite, check

if TYPE_CHECKING:
    from ..interfaces import CacheHandler

__all__ = ["HandlerSuite"]


class HandlerSuite(Suite):
    """What a store relies on in a :class:`~cacheness.CacheHandler`."""

    #: Values that it does not store.
    others: list[Any] = [None, 5, "text", b"bytes", [1, 2], {"a": 1}, object()]  # noqa: RUF012 - it is only read

    def make(self) -> CacheHandler:
        """The handler."""
        raise NotImplementedError(f"{type(self).__name__} has to override make()")

    def values(self) -> list[Any]:
        """Values that it stores: ordinary, empty and unusual ones."""
        raise NotImplementedError(f"{type(self).__name__} has to override values()")

    def equal(self, given: Any, found: Any) -> bool:
        """Whether a value came back."""
        return type(given) is type(found) and bool(given == found)

    def test_it_accepts_its_values_alone(self) -> None:
        handler = self.make()
        name = handler.data_type
        check(isinstance(name, str) and name, f"data_type is {name!r}, not a text")
        check(handler.data_type == name, "data_type changes")
        for value in self.values():
            check(handler.can_handle(value) is True, f"can_handle({value!r}) is not True")
        for value in self.others:
            check(handler.can_handle(value) is False, f"can_handle({value!r}) is not False")

    def test_it_writes_one_file_and_leaves_it(self) -> None:
        handler, config = self.make(), CompressionConfig()
        for value in self.values():
            with tempfile.TemporaryDirectory() as directory:
                said = handler.put(value, Path(directory) / "value", config)
                files = [path for path in Path(directory).rglob("*") if path.is_file()]
                check(len(files) == 1, f"put wrote {files}, not one file")
                check(said.get("storage_format"), "put returns a dictionary with storage_format")
                written = files[0].read_bytes()
                check(self.equal(value, handler.get(files[0], said)), f"{value!r} does not come back")
                check(files[0].read_bytes() == written, "get changed the file")

    def test_a_cache_keeps_its_values(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            for again in (False, True):
                registry = HandlerRegistry()
                registry.register_handler(self.make(), priority=0)
                with Cache(directory) as cache:
                    cache.handler_registry.register_handler(self.make(), priority=0)
                    for number, value in enumerate(self.values()):
                        if not again:
                            cache.put(value, number=number)
                        found = cache.get(number=number)
                        check(self.equal(value, found), f"{found!r} came back for {value!r}")
                        said = cache.get_metadata(number=number)
                        check(
                            said is not None and said["data_type"] == self.make().data_type, f"it was stored as {said}"
                        )
