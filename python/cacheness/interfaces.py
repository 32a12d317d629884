"""The interface of custom handlers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["CacheHandler", "StorageHandler"]


class CacheHandler(ABC):
    """Stores one kind of value in a file of its own format.

    Register an instance with :func:`cacheness.register_handler`, or with one cache through its ``handler_registry``.
    """

    @property
    @abstractmethod
    def data_type(self) -> str:
        """A short name for the kind of value; also the handler's name unless it is registered under another one.

        It is written to every entry, and an entry is read by the handler of that name: do not change it.
        """

    @abstractmethod
    def can_handle(self, data: Any) -> bool:
        """Whether this handler stores ``data``."""

    @abstractmethod
    def put(self, data: Any, file_path: Path, config: Any) -> dict[str, Any]:
        """Writes ``data`` to one file: ``file_path`` itself, or ``file_path`` with a suffix.

        Args:
            data: the value.
            file_path: a path in an empty temporary directory of the store, without a suffix.
            config: the cache's :class:`~cacheness.CompressionConfig`.

        Returns:
            ``{"storage_format": …, "file_path": …}``; the path may be omitted if it is ``file_path`` or ``file_path``
            with :meth:`get_file_extension`. All other fields must be plain data and are passed to :meth:`get` as
            ``metadata``.
        """

    @abstractmethod
    def get(self, file_path: Path, metadata: dict[str, Any]) -> Any:
        """Reads the value from the file, whose hash has been checked. Must not change the file."""

    def get_file_extension(self, config: Any) -> str:  # noqa: ARG002 - handlers that override it have a use for it
        """The file's suffix, with the dot; empty for none."""
        return ""


class StorageHandler(ABC):
    """The older interface: ``save`` and ``load``. New handlers implement :class:`CacheHandler`."""

    @abstractmethod
    def can_handle(self, data: Any) -> bool:
        """Whether this handler stores ``data``."""

    @abstractmethod
    def save(self, data: Any, file_path: Path, config: Any) -> None:
        """Writes ``data`` to ``file_path``."""

    @abstractmethod
    def load(self, file_path: Path, config: Any) -> Any:
        """Reads the value from ``file_path``."""

    @abstractmethod
    def get_file_extension(self) -> str:
        """The file's suffix, with the dot."""
