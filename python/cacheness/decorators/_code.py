"""The code of a function, class or module as a text that is independent of its formatting."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import functools
import linecache
import sys
import time
import types
from pathlib import Path
from typing import Any

_Node = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_DOCUMENTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)
#: Sources of imported modules were last changed before this, in seconds since 1970; file systems are coarse.
_STARTED = time.time() - 2
#: The first constant of a function with this flag is its docstring; before Python 3.14 it is that or ``None`` in all.
_HAS_DOCSTRING = 0x4000000
#: How many syntax trees are cached: enough for one package, whose functions are hashed one after the other.
_FILES = 64


@dataclasses.dataclass
class _Source:
    """The parts of a file."""

    file: str
    #: The list of ``linecache``: changed lines are another list.
    lines: list[str]
    text: str
    tree: ast.Module
    #: The functions, by the line and name of their code objects.
    functions: dict[tuple[int, str], tuple[_Node, ...]]
    #: The classes by their qualified names.
    classes: dict[str, tuple[ast.ClassDef, ...]]

    @functools.cached_property
    def compiled(self) -> list[types.CodeType]:
        """The code that it would compile to now."""
        found = []
        with contextlib.suppress(SyntaxError, ValueError):
            found.append(compile(self.text, self.file, "exec", dont_inherit=True))
        for code in found:
            found += [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
        return found


_sources: dict[str, _Source] = {}


def code_hash(*functions: types.FunctionType) -> str:
    """32 hexadecimal digits that change with the code of one of the functions.

    Hashes the syntax tree without comments, docstrings, positions and decorator lines. A function without source (a
    prompt, ``exec``) is hashed by its bytecode, which also differs between versions of Python. Called functions do not
    count.
    """
    import hashlib

    text = "\n".join(_text(node_of(one), one.__code__) for one in functions)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def function_text(function: types.FunctionType) -> str:
    """The text of a function, from its source if that is still the running code, else from its bytecode."""
    code = function.__code__
    node = node_of(function)
    if node is not None and _is_what_runs(code, function.__globals__):
        try:
            return _render(node, top=True)
        except RecursionError:
            pass
    return _render_code(code)


def class_text(kind: type, names: dict[str, Any] | None) -> str | None:
    """The text of a class with its methods; ``None`` without source, or if the name is not unique."""
    functions = [one for one in vars(kind).values() if isinstance(one, types.FunctionType)]
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    file = next((one.__code__.co_filename for one in functions if one.__code__.co_filename[:1] != "<"), file)
    source = None if file is None else _source(file, names)
    nodes = () if source is None else source.classes.get(kind.__qualname__, ())
    if len(nodes) != 1 or not all(_is_what_runs(one.__code__, names) for one in functions if node_of(one)):
        return None
    return _render(nodes[0], bare=True)


def module_of_file(file: str) -> ast.Module | None:
    """The syntax tree of a file of Python code."""
    source = _source(file, None)
    return None if source is None else source.tree


def module_text(tree: ast.Module) -> str:
    """The text of a whole module."""
    return _render(tree, bare=True)


def node_of(function: types.FunctionType) -> _Node | None:
    """The syntax tree of a function; ``None`` if it cannot be found."""
    code = function.__code__
    source = _source(code.co_filename, function.__globals__)
    nodes = () if source is None else source.functions.get((code.co_firstlineno, code.co_name), ())
    # Several lambdas on one line cannot be distinguished by their names.
    return nodes[0] if len(nodes) == 1 else None


def _source(file: str, names: dict[str, Any] | None) -> _Source | None:
    linecache.checkcache(file)
    lines = linecache.getlines(file, names)
    if not lines:
        return None
    known = _sources.get(file)
    if known is not None and known.lines is lines:
        return known
    text = "".join(lines)
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return None
    functions: dict[tuple[int, str], tuple[_Node, ...]] = {}
    classes: dict[str, tuple[ast.ClassDef, ...]] = {}
    # Source code may be nested to any depth.
    inside: list[tuple[ast.AST, str]] = [(tree, "")]
    for parent, prefix in inside:
        for node in ast.iter_child_nodes(parent):
            name = prefix
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                place = (min([node.lineno, *(d.lineno for d in node.decorator_list)]), node.name)
                functions[place] = (*functions.get(place, ()), node)
                name = f"{prefix}{node.name}.<locals>."
            elif isinstance(node, ast.Lambda):
                place = (node.lineno, "<lambda>")
                functions[place] = (*functions.get(place, ()), node)
                name = f"{prefix}<lambda>.<locals>."
            elif isinstance(node, ast.ClassDef):
                classes[prefix + node.name] = (*classes.get(prefix + node.name, ()), node)
                name = f"{prefix}{node.name}."
            inside.append((node, name))
    while len(_sources) >= _FILES:
        _sources.pop(next(iter(_sources)), None)
    found = _sources[file] = _Source(file, lines, text, tree, functions, classes)
    return found


def _is_what_runs(code: types.CodeType, names: dict[str, Any] | None) -> bool:
    """Whether the source of a function is unchanged since it was imported."""
    try:
        if Path(code.co_filename).stat().st_mtime < _STARTED:
            return True
    except (OSError, ValueError):
        # A cell of a notebook, or a file of an archive: neither changes.
        return True
    source = _source(code.co_filename, names)
    return source is not None and code in source.compiled


def _text(node: _Node | None, code: types.CodeType) -> str:
    return _render_code(code) if node is None else _render(node, top=True)


def _render(node: Any, *, top: bool = False, bare: bool = False) -> str:
    """A node and its parts as text, without empty fields, because new versions of Python add such fields.

    Without the decorators of the function at the ``top``; ``bare``: without those of all functions.
    """
    if isinstance(node, list):
        return f"[{','.join([_render(part, bare=bare) for part in node])}]"
    if not isinstance(node, ast.AST):
        return f"{type(node).__name__}:{node!r}"
    undecorated = top or (bare and not isinstance(node, ast.ClassDef))
    parts = []
    for name, value in ast.iter_fields(node):
        if (
            value is None
            or value == []
            or name in ("type_comment", "kind")
            or (undecorated and name == "decorator_list")
        ):
            continue
        if name == "body" and isinstance(node, _DOCUMENTED):
            value = _without_docstring(value)  # noqa: PLW2901
        parts.append(f"{name}={_render(value, bare=bare)}")
    return f"{type(node).__name__}({','.join(parts)})"


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0] if body else None
    is_text = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    return body[1:] if is_text else body


def _render_code(code: types.CodeType) -> str:
    has_docstring = sys.version_info < (3, 14) or code.co_flags & _HAS_DOCSTRING
    constants = [
        _render_code(constant) if isinstance(constant, types.CodeType) else _render_constant(constant)
        for constant in code.co_consts[1 if has_docstring else 0 :]
    ]
    return repr((code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars))


def _render_constant(value: Any) -> str:
    # The order of a set differs between processes.
    shown = f"{sorted(map(repr, value))}" if isinstance(value, frozenset) else repr(value)
    return f"{type(value).__name__}:{shown}"
