"""A hash of what a function does, blind to how it is written down: for ``track_code``."""

from __future__ import annotations

import ast
import linecache
import types
from typing import Any

_Node = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
#: The source of a file and its functions: a file's functions are decorated one after the other.
_latest: tuple[str, dict[tuple[int, str], tuple[_Node, ...]]] = ("", {})
_DOCUMENTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)


def code_hash(*functions: types.FunctionType) -> str:
    """32 hexadecimal digits that change when the code of one of the functions does.

    It is made from the syntax tree without comments, docstrings, positions and the lines of decorators. A function
    whose source is not to be found (a prompt, ``exec``) is hashed by its bytecode, which also differs between versions
    of Python. What a function calls is not looked at.
    """
    import hashlib

    text = "\n".join(map(_text, functions))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _text(function: types.FunctionType) -> str:
    code = function.__code__
    node = _find(code, function.__globals__)
    return _render_code(code) if node is None else _render(node, top=True)


def _find(code: types.CodeType, names: dict[str, Any] | None) -> _Node | None:
    lines = linecache.getlines(code.co_filename, names)
    if not lines:
        return None
    nodes = _functions("".join(lines)).get((code.co_firstlineno, code.co_name), ())
    # Several lambdas on one line cannot be told apart by their names.
    return nodes[0] if len(nodes) == 1 else None


def _functions(source: str) -> dict[tuple[int, str], tuple[_Node, ...]]:
    """The functions of a file, by the line and name that their code objects have."""
    global _latest
    known, found = _latest
    if known == source:
        return found
    found = {}
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return found
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            place = (min([node.lineno, *(d.lineno for d in node.decorator_list)]), node.name)
        elif isinstance(node, ast.Lambda):
            place = (node.lineno, "<lambda>")
        else:
            continue
        found[place] = (*found.get(place, ()), node)
    _latest = (source, found)
    return found


def _render(node: Any, *, top: bool = False) -> str:
    """A node and its parts as text; fields that are empty are left out, because versions of Python add such fields."""
    if isinstance(node, list):
        return f"[{','.join(_render(part) for part in node)}]"
    if not isinstance(node, ast.AST):
        return f"{type(node).__name__}:{node!r}"
    parts = []
    for name, value in ast.iter_fields(node):
        if value is None or value == [] or name in ("type_comment", "kind") or (top and name == "decorator_list"):
            continue
        if name == "body" and isinstance(node, _DOCUMENTED):
            value = _without_docstring(value)  # noqa: PLW2901
        parts.append(f"{name}={_render(value)}")
    return f"{type(node).__name__}({','.join(parts)})"


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0]
    is_text = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    return body[1:] if is_text else body


def _render_code(code: types.CodeType) -> str:
    # The first constant of a function is its docstring, or None.
    constants = [
        _render_code(constant) if isinstance(constant, types.CodeType) else f"{type(constant).__name__}:{constant!r}"
        for constant in code.co_consts[1:]
    ]
    return repr((code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars))
