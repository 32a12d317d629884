"""What all suites have in common."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..storage.backends.base import BlobBackend, MetadataBackend

__all__ = ["Suite", "check", "made", "raises"]

B = TypeVar("B", "MetadataBackend", "BlobBackend")


class Suite:
    """Tests of one contract."""

    def run(self) -> list[str]:
        """Runs all tests, without pytest; the first failure raises.

        Returns:
            The names of the tests that have passed.
        """
        names = sorted(name for name in dir(self) if name.startswith("test_"))
        for name in names:
            getattr(self, name)()
        return names


def check(holds: Any, message: str) -> None:
    """Raises ``AssertionError``; also where Python is told to leave out assertions."""
    if not holds:
        raise AssertionError(message)


def raises(error: type[BaseException], message: str, call: Any, *arguments: Any) -> None:
    """Checks that a call raises an error."""
    try:
        found = call(*arguments)
    except error:
        return
    raise AssertionError(f"{message}: {found!r} was returned")


@contextmanager
def made(backend: B) -> Iterator[B]:
    """A backend that has all essential methods, until the end of a test."""
    missing = type(backend)._missing()
    check(not missing, f"{type(backend).__name__} lacks {', '.join(missing)}")
    try:
        yield backend
    finally:
        backend.close()
