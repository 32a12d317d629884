"""The modules that belong to a function: those of its package, or of its directory if it has no package."""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

#: The modules of the standard library.
_LIBRARY = Path(types.__file__).parent


class Home:
    """The module of a function, by its globals."""

    def __init__(self, names: dict[str, Any]) -> None:
        self.name = str(names.get("__name__", ""))
        self._package = str(names.get("__package__") or "").partition(".")[0]
        self._directory = None if self._package else _directory(names)

    def has(self, module: Any) -> bool:
        """Whether an imported module belongs here, by its name."""
        if not isinstance(module, str):
            return False
        if module == self.name:
            return True
        top = module.partition(".")[0]
        if self._package:
            return top == self._package
        return self._is_beside(getattr(sys.modules.get(top), "__file__", None))

    def has_importable(self, module: str) -> bool:
        """Whether a module, imported or not, belongs here."""
        top = module.partition(".")[0]
        return self.has(module) if self._package or top in sys.modules else self._is_beside(file_of(top))

    def _is_beside(self, file: Any) -> bool:
        if self._directory is None or not isinstance(file, str):
            return False
        path = Path(file).absolute()
        return (path.parent.parent if path.stem == "__init__" else path.parent) == self._directory


def _directory(names: dict[str, Any]) -> Path | None:
    """The directory of a module; ``None`` if it is a directory of installed packages."""
    file = names.get("__file__")
    path = Path(file).absolute().parent if isinstance(file, str) else Path.cwd()
    return None if path.name in ("site-packages", "dist-packages") or path == _LIBRARY else path


def file_of(module: str) -> str | None:
    """The file of a module, found without importing it or its packages."""
    if module in sys.modules:
        file = getattr(sys.modules[module], "__file__", None)
        return file if isinstance(file, str) else None
    parent, _, name = module.rpartition(".")
    if parent and parent not in sys.modules:
        outer = Path(file_of(parent) or "")
        if outer.stem != "__init__":
            return None
        candidates = (outer.parent / f"{name}.py", outer.parent / name / "__init__.py")
        return next((str(path) for path in candidates if path.is_file()), None)
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError, AttributeError):
        return None
    return spec.origin if spec is not None and spec.has_location else None


def resolve(name: str, level: int, package: str) -> str | None:
    """The absolute name of a relative import with this number of dots; ``None`` if there is no such package."""
    try:
        return importlib.util.resolve_name("." * level + name, package or None)
    except (ImportError, ValueError):
        return None
