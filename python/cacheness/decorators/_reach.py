"""What the result of a function depends on besides its arguments: its code, the code it calls, the constants it reads.

Code is followed from a function through the names that it reads, as long as these refer to functions, methods and
classes of its own package (see ``_home``). Third-party code counts by name only, and so does every value that is not a
constant.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import dis
import enum
import functools
import hashlib
import itertools
import re
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import _core
from ._captured import is_plain
from ._code import class_text, function_text, module_of_file, module_text, node_of
from ._home import Home, file_of, resolve
from ._target import functions as consists_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

#: The maximum number of functions, classes and modules to hash, so that a first call does not take seconds.
_PARTS = 500
#: The maximum number of files to read, of modules imported by a call, directly or indirectly.
_MODULES = 20
#: The maximum number of members of containers to hash, in total; of further ones only the number counts.
_MEMBERS = 20_000
#: The maximum size of an array or table to hash, in bytes; of a larger one only the type and shape count.
_BYTES = 16 << 20
_READS = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF"})
_ATTRIBUTES = frozenset({"LOAD_ATTR", "LOAD_METHOD"})
_ASSIGNS = frozenset({"STORE_GLOBAL", "DELETE_GLOBAL", "STORE_DEREF", "DELETE_DEREF"})
#: Methods that change their object.
_CHANGES = frozenset(
    [
        "add",
        "append",
        "appendleft",
        "clear",
        "discard",
        "extend",
        "extendleft",
        "fill",
        "insert",
        "intersection_update",
        "move_to_end",
        "pop",
        "popitem",
        "popleft",
        "put",
        "remove",
        "reverse",
        "setdefault",
        "sort",
        "symmetric_difference_update",
        "update",
        "difference_update",
    ]
)
_BY_NAME = {"hash_path_content": False}
_LRU_CACHE = type(functools.lru_cache(len))
_MISSING = object()

_Place = tuple[int, str]


def code_of(given: Any, ignore: frozenset[str]) -> bytes:
    """16 bytes that change with the code of ``given``, a decorated function or the function it wraps.

    They are the same in every process that runs the same code, except that a function without source is hashed by its
    bytecode. ``ignore`` names variables that do not count.
    """
    reach = _Reach(consists_of(given), ignore)
    reach.follow()
    return reach.digest()


class _Reach:
    def __init__(self, own: list[types.FunctionType], ignore: frozenset[str]) -> None:
        self._own = {id(one) for one in own}
        self._ignore = ignore
        # The innermost function determines the package; its wrappers may come from anywhere.
        names = own[-1].__globals__ if own else {}
        self._home = Home(names)
        self._seen: dict[int, Any] = {}
        self._modules: set[str] = set()
        self._texts: set[str] = set()
        #: Values by their names, without those that the reading code assigns.
        self._values: dict[_Place, tuple[str, str]] = {}
        self._changed: set[_Place] = set()
        self._members_left = _MEMBERS
        #: Containers on the path to the current value.
        self._inside: set[int] = set()
        #: Found and not hashed yet; a list, because calls may be nested to any depth.
        self._pending: list[types.FunctionType | type] = []
        for function in own:
            self._function(function)

    def follow(self) -> None:
        """Hashes everything that can be reached."""
        while self._pending:
            found = self._pending.pop()
            look: Callable[[Any], None] = self._look_at_class if isinstance(found, type) else self._look_at
            try:
                look(found)
            except Exception:  # noqa: BLE001 - one odd part must not keep the others from being seen
                self._texts.add(self._label(found))

    def digest(self) -> bytes:
        values = {f"{label} = {text}" for place, (label, text) in self._values.items() if place not in self._changed}
        texts = self._texts | values
        return hashlib.blake2b("\0".join(sorted(texts)).encode("utf-8", "surrogatepass"), digest_size=16).digest()

    def _is_new(self, value: Any) -> bool:
        """Whether it has not been seen; keeps it alive, so that its identity stays unique."""
        if id(value) in self._seen or len(self._seen) >= _PARTS:
            return False
        self._seen[id(value)] = value
        return True

    def _label(self, value: Any) -> str:
        """A name that stays the same when the module runs as a script."""
        module = getattr(value, "__module__", None)
        name = getattr(value, "__qualname__", None) or getattr(value, "__name__", "")
        return f"{'' if module == self._home.name else module}:{name}"

    # ----- code

    def _function(self, function: types.FunctionType) -> None:
        if self._home.has(function.__globals__.get("__name__")) and self._is_new(function):
            self._pending.append(function)

    def _look_at(self, function: types.FunctionType) -> None:
        self._texts.add(f"{self._label(function)} {function_text(function)}")
        self._names(function)
        for name, default in zip(
            ("defaults", "kwdefaults"), (function.__defaults__, function.__kwdefaults__), strict=True
        ):
            if default:
                self._place((id(function), name), f"{self._label(function)}.{name}", default)
        owner = self._owner(function)
        if owner is not None:
            self._class(owner)

    def _owner(self, function: types.FunctionType) -> type | None:
        """The class of a method, which reaches the other methods through its object."""
        outer, _, _ = function.__qualname__.rpartition(".")
        if not outer or outer.endswith("<locals>"):
            return None
        found: Any = None
        if "<locals>" not in outer:
            names = outer.split(".")
            found = function.__globals__.get(names[0])
            for name in names[1:]:
                found = vars(found).get(name) if isinstance(found, type) else None
        return found if isinstance(found, type) else None

    def _class(self, kind: type) -> None:
        if not self._home.has(kind.__module__):
            self._texts.add(self._label(kind))
            return
        if self._is_new(kind):
            self._pending.append(kind)

    def _look_at_class(self, kind: type) -> None:
        names = getattr(sys.modules.get(kind.__module__), "__dict__", None)
        text = class_text(kind, names)
        self._texts.add(f"class {self._label(kind)} {text}")
        for base in kind.__bases__:
            self._class(base)
        for name, member in list(vars(kind).items()):
            for function in _functions_in(member):
                if text is None:
                    self._function(function)
                elif self._home.has(function.__globals__.get("__name__")) and self._is_new(function):
                    # Its text is part of that of the class.
                    self._names(function)
            if text is None and is_plain(member) and not name.startswith("__"):
                self._place((id(kind), name), f"{self._label(kind)}.{name}", member)

    def _names(self, function: types.FunctionType) -> None:
        """Follows the names that a function reads."""
        code, names = function.__code__, function.__globals__
        cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=False))
        module = str(names.get("__name__"))
        prefix = "" if module == self._home.name else f"{module}."

        def place(name: str) -> _Place:
            return (id(cells[name]), "") if name in cells else (id(names), name)

        read: set[str] = set()
        for found in _codes(code):
            steps = list(dis.get_instructions(found))
            for i, step in enumerate(steps):
                name = step.argval
                if step.opname == "IMPORT_NAME":
                    self._import(name, steps[i - 2].argval, steps[i - 1].argval, names)
                elif step.opname in _ASSIGNS and (name in cells or step.opname.endswith("_GLOBAL")):
                    self._changed.add(place(name))
                elif step.opname in _READS and name in cells:
                    read.add(name)
                    value = _contents(cells[name])
                    if id(function) in self._own and (name in self._ignore or is_plain(value)):
                        # Plain captured values are part of the key.
                        continue
                    if value is not _MISSING:
                        self._read(place(name), f"{self._label(function)}.{name}", value, _chain(steps, i + 1))
                elif step.opname in _READS and name in names:
                    read.add(name)
                    self._read(place(name), prefix + name, names[name], _chain(steps, i + 1))
        self._changed |= {place(name) for name in _changed(node_of(function), code) if name in read}

    def _read(self, place: _Place, label: str, value: Any, chain: list[str]) -> None:
        """Follows a name, and the attributes read from it, through modules and classes."""
        for attribute in chain:
            if not isinstance(value, types.ModuleType) or not self._home.has(value.__name__):
                break
            names = vars(value)
            if attribute not in names:
                return
            place, label, value = (id(names), attribute), f"{label}.{attribute}", names[attribute]
        self._place(place, label, value)

    def _place(self, place: _Place, label: str, value: Any) -> None:
        if place not in self._values:
            self._values[place] = (label, "")
            try:
                text = self._text(value)
            except Exception:  # noqa: BLE001 - reading it may run any code
                text = self._label(type(value))
            self._values[place] = (label, text)

    def _import(self, name: str, level: Any, wanted: Any, names: dict[str, Any]) -> None:
        """Follows an import that the function makes when it is called. Reads the files, and imports nothing."""
        package = names.get("__package__") or str(names.get("__name__", "")).rpartition(".")[0]
        found = resolve(name, level if isinstance(level, int) else 0, str(package))
        if found is not None:
            self._module(found, wanted if isinstance(wanted, tuple) else ())

    def _module(self, name: str, wanted: Iterable[str]) -> None:
        pending = [name, *(f"{name}.{part}" for part in wanted)]
        for module in pending:
            if module in self._modules or len(self._modules) >= _MODULES or not self._home.has_importable(module):
                continue
            self._modules.add(module)
            file = file_of(module)
            tree = None if file is None else module_of_file(file)
            if file is None or tree is None:
                continue
            with contextlib.suppress(RecursionError):
                self._texts.add(f"import {module} {module_text(tree)}")
            package = module if Path(file).stem == "__init__" else module.rpartition(".")[0]
            for node in ast.walk(tree):
                if isinstance(node, ast.Import):
                    pending += [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    source = resolve(node.module or "", node.level, package)
                    if source is not None:
                        pending += [source, *(f"{source}.{alias.name}" for alias in node.names)]

    # ----- values

    def _text(self, value: Any) -> str:
        """A text for a value: its content if it is code or a constant, else the name of its type."""
        if isinstance(value, types.FunctionType | _core.FunctionBase | _LRU_CACHE | types.MethodType):
            for function in consists_of(value):
                self._function(function)
            return self._label(value)
        if isinstance(value, type):
            self._class(value)
            return self._label(value)
        if isinstance(value, types.ModuleType):
            return value.__name__
        if isinstance(value, functools.partial):
            return f"partial({self._members((value.func, value.args, value.keywords))})"
        if isinstance(value, enum.Enum):
            self._class(type(value))
            return f"{self._label(type(value))}.{value.name}"
        if isinstance(value, types.BuiltinFunctionType):
            return f"{value.__module__}.{value.__qualname__}"
        return self._constant(value)

    def _constant(self, value: Any) -> str:
        kind = type(value)
        if isinstance(value, re.Pattern):
            return f"pattern {value.pattern!r} {value.flags}"
        if isinstance(value, list | tuple | set | frozenset | dict):
            if kind not in (list, tuple, set, frozenset, dict):
                self._class(kind)
            return f"{self._label(kind)}({self._members(value)})"
        if dataclasses.is_dataclass(value) or hasattr(kind, "__attrs_attrs__"):
            self._class(kind)
            fields = {name: item for name, item in getattr(value, "__dict__", {}).items() if not callable(item)}
            return f"{self._label(kind)}({self._members(fields)})"
        if is_plain(value) or _is_table(value):
            size = _size(value)
            if size is None or size <= _BYTES:
                try:
                    return f"{kind.__qualname__} {_core.hash_value(value, _BY_NAME)}"
                except Exception:  # noqa: BLE001 - whatever it is, it has no constant hash
                    return self._label(kind)
            return f"{self._label(kind)} {getattr(value, 'dtype', '')} {getattr(value, 'shape', size)}"
        # An object: its contents may be anything; its behaviour is that of its class.
        self._class(kind)
        return self._label(kind)

    def _members(self, value: Any) -> str:
        self._members_left -= len(value)
        if self._members_left < 0 or id(value) in self._inside or len(self._inside) > 50:
            return f"{len(value)}"
        self._inside.add(id(value))
        try:
            if isinstance(value, dict):
                # A copy, because another thread may change it.
                shown = [f"{self._text(key)}: {self._text(item)}" for key, item in dict(value).items()]
            else:
                shown = [self._text(item) for item in tuple(value)]
        finally:
            self._inside.discard(id(value))
        if isinstance(value, set | frozenset):
            shown.sort()
        return ", ".join(shown)


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _chain(steps: list[dis.Instruction], start: int) -> list[str]:
    """The attributes that are read from the value just read."""
    chain = []
    for step in steps[start:]:
        if step.opname not in _ATTRIBUTES:
            break
        chain.append(step.argval)
    return chain


def _changed(node: ast.AST | None, code: types.CodeType) -> Iterator[str]:
    """Names of variables whose value the code changes, so that they are not constants."""
    if node is None:
        for found in _codes(code):
            steps = list(dis.get_instructions(found))
            stores = any(
                step.opname in ("STORE_SUBSCR", "DELETE_SUBSCR", "STORE_ATTR", "DELETE_ATTR") for step in steps
            )
            for step, then in itertools.pairwise(steps):
                if step.opname in _READS and (stores or (then.opname in _ATTRIBUTES and then.argval in _CHANGES)):
                    yield step.argval
        return
    for part in ast.walk(node):
        target: ast.AST | None = None
        if isinstance(part, ast.Call) and isinstance(part.func, ast.Attribute) and part.func.attr in _CHANGES:
            target = part.func.value
        elif isinstance(part, ast.Subscript | ast.Attribute) and not isinstance(part.ctx, ast.Load):
            target = part.value
        elif isinstance(part, ast.AugAssign):
            target = part.target
        while isinstance(target, ast.Subscript | ast.Attribute):
            target = target.value
        if isinstance(target, ast.Name):
            yield target.id


def _functions_in(member: Any) -> list[types.FunctionType]:
    """The functions of a member of a class."""
    if isinstance(member, classmethod | staticmethod):
        return _functions_in(member.__func__)
    if isinstance(member, property | functools.cached_property):
        parts = [getattr(member, name, None) for name in ("fget", "fset", "fdel", "func")]
        return [function for part in parts if part is not None for function in _functions_in(part)]
    if isinstance(member, types.FunctionType | _core.FunctionBase | _LRU_CACHE):
        return consists_of(member)
    return []


def _contents(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return _MISSING


def _is_table(value: Any) -> bool:
    module = type(value).__module__.partition(".")[0]
    return module in ("numpy", "pandas", "polars", "pyarrow") and hasattr(value, "shape")


def _size(value: Any) -> int | None:
    for name in ("nbytes", "memory_usage"):
        size = getattr(value, name, None)
        if callable(size):
            size = size() if name == "nbytes" else size(index=True)
            size = size.sum() if hasattr(size, "sum") else size
        if size is not None:
            return int(size)
    estimated = getattr(value, "estimated_size", None)
    return int(estimated()) if callable(estimated) else None
