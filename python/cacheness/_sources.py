"""Options from environment variables, and from the file that ``CACHENESS_CONFIG`` names.

A program comes before its environment, which comes before a file, which comes before the defaults. Which variables
there are, and what their texts mean, is the same in Rust, which has the list of all options.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

from . import _core
from .errors import CacheConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._options import Options

__all__ = ["ARGUMENT", "DEFAULT", "Found", "Origin", "apply", "found", "ignored", "of_new_directory", "rows", "urls"]

#: The sources of options that no file and no variable sets.
ARGUMENT, DEFAULT = "argument", "default"

#: Options by section and name: the value, and its source. The section of :class:`CacheConfig` itself is empty.
Found = dict[str, dict[str, tuple[Any, str]]]

_FILE, _STORE, _BLOBS, _BACKEND, _DIRECTORY = (
    f"CACHENESS_{name}" for name in ("CONFIG", "STORE", "BLOBS", "BACKEND", "DIR")
)
#: Backends whose name in a variable is that of a new directory, because an existing one records its own.
_OF_NEW_DIRECTORIES = ("sqlite", "json")
_NOTHING: Found = {}

#: What is ignored now: nothing, the file, or the environment too.
_ignored: ContextVar[str] = ContextVar("_ignored", default="")
#: All options, once they have been asked for.
_rows: list[dict[str, Any]] = []
#: What the environment said last, and the options that this set.
_last: tuple[Any, Found] = ((), _NOTHING)


class Origin(NamedTuple):
    """The value of an option, and where it comes from.

    Attributes:
        value: the value, with secrets hidden.
        source: ``"default"``, ``"argument"``, the name of an environment variable, or the path of a file and the line
            in it: ``"team.toml:3"``.
    """

    value: Any
    source: str


@contextmanager
def ignored(what: str) -> Iterator[None]:
    """Ignores the file of the environment (``"file"``), or the environment too (``"all"``)."""
    token = _ignored.set(what)
    try:
        yield
    finally:
        _ignored.reset(token)


def rows() -> list[dict[str, Any]]:
    """All options, as the engine lists them."""
    global _rows
    if not _rows:
        import json

        _rows = json.loads(_core.config_options())
    return _rows


def found() -> Found:
    """The options that the environment sets."""
    global _last
    if _ignored.get() == "all":
        return _NOTHING
    # Bytes, because most variables are others', and need no decoding.
    ours = [name for name in os.environb if name.startswith(b"CACHENESS_")]
    if not ours:
        return _NOTHING
    given = {os.fsdecode(name): os.fsdecode(os.environb.get(name, b"")) for name in ours}
    variables = {name: value for name, value in given.items() if value}
    path = variables.get(_FILE) if not _ignored.get() else None
    state = (variables, path, _state_of(path))
    if _last[0] != state:
        _last = (state, _read(variables, path))
    return _last[1]


def _state_of(path: str | None) -> Any:
    if path is None:
        return None
    try:
        status = os.stat(path)  # noqa: PTH116 - pathlib takes long to import
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_size, status.st_ino)


def _read(variables: dict[str, str], path: str | None) -> Found:
    import json

    options: Found = {}
    if path is not None:
        from ._config_files import options_of_file

        options = options_of_file(path)
    for row in rows():
        variable = row["variable"]
        text = variables.get(variable)
        if text is None or (variable == _BACKEND and text in _OF_NEW_DIRECTORIES):
            continue
        if variable == _DIRECTORY:
            value: Any = text  # a path may have any bytes
        else:
            try:
                value = json.loads(_core.option_of_text(row["name"], text))
            except UnicodeEncodeError:
                raise CacheConfigurationError(f"the environment variable {variable} is no valid UTF-8") from None
        options.setdefault(row["section"], {})[row["name"]] = (value, variable)
    return options


def of_new_directory() -> tuple[str, str]:
    """The metadata backend of a new directory, and its source."""
    name = os.environ.get(_BACKEND) if _ignored.get() != "all" else None
    return (name, _BACKEND) if name in _OF_NEW_DIRECTORIES else ("sqlite", DEFAULT)


def urls() -> tuple[str | None, str | None]:
    """The URLs of the store and of its blobs, for a program that names neither a directory nor a URL."""
    if _ignored.get() == "all":
        return None, None
    return os.environ.get(_STORE) or None, os.environ.get(_BLOBS) or None


def apply(section: Options, name: str, given: frozenset[str], *, before: bool = False) -> None:
    """Sets the options of a section that the environment sets and the program does not; ``before`` the options of a
    backend that it has.
    """
    of_section = found().get(name)
    if not of_section:
        return
    sources = dict(getattr(section, "_sources", {}))
    of_backend: dict[str, Any] = {}
    for option, (value, source) in of_section.items():
        if option not in section.__dataclass_fields__:
            of_backend[option] = value
            sources[option] = (value, source)
        elif option not in given:
            section.__dict__[option] = value
            sources[option] = (value, source)
    if of_backend:
        options = section._backend_options
        together = section.__dict__[options]
        if isinstance(together, dict):
            section.__dict__[options] = {**together, **of_backend} if before else {**of_backend, **together}
    object.__setattr__(section, "_sources", sources)


def source_of(section: Options, option: str, value: Any) -> str | None:
    """The file or the variable that a value comes from, unless the program has set another one since."""
    known = getattr(section, "_sources", {}).get(option)
    return known[1] if known is not None and known[0] == value else None
