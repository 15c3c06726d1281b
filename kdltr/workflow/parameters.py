"""A notebook's parameters: what it declares, what is given, and whether the two fit.

The declaration is the notebook's own cell tagged `parameters`: annotated names with defaults. What
an annotation names, the notebook imports: a type, or something of kdltr whose settings the
parameter holds (`kdltr.settings`).
"""

import ast
import json
import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from kdltr.files import place
from kdltr.messages import nearest
from kdltr.settings import SettingError, check, parse_yaml, read_yaml
from kdltr.workflow.keys import notebook_code


class NotebookError(Exception):
    """A notebook could not be run; the message says what to do. `status` is for the shell."""

    def __init__(self, message: str, status: int = 1):
        super().__init__(message)
        self.status = status


def given_in(file: str | os.PathLike) -> dict[str, Any]:
    """The `name: value` lines of a file.

    Raises:
        NotebookError: as `kdltr.settings.read_yaml`.
    """
    try:
        return read_yaml(file)
    except SettingError as error:
        raise NotebookError(str(error), 2) from None


def read_parameters(
    files: Iterable[str], pairs: Iterable[list[str]],
    declared: Mapping[str, Callable[[], Any]] | None = None,
) -> dict[str, Any]:
    """Merge YAML files and NAME VALUE pairs, the later winning.

    The value of a pair is read as YAML; that of a parameter declared as text stands for itself,
    unless it is in quotes.

    Raises:
        NotebookError: as `given_in`, or a value that is no YAML.
    """
    merged: dict[str, Any] = {}
    for file in files:
        merged.update(given_in(file))
    for name, value in pairs:
        kind = (declared or {}).get(name)
        if kind and kind() is str and value[:1] not in ("'", '"'):
            merged[name] = value
            continue
        try:
            merged[name] = parse_yaml(value, f"parameter {name!r}")
        except SettingError as error:
            raise NotebookError(f"{error}; put text in quotes", 2) from None
    return merged


def check_parameters(notebook: str | os.PathLike, given: Mapping[str, Any]) -> None:
    """Refuse parameters that the notebook's `parameters` cell does not declare.

    Raises:
        NotebookError: an unknown name (with the nearest known one), or a value that is not of the
            declared type, all the way down.
    """
    known = declarations(notebook)
    for name, value in given.items():
        if name not in known:
            raise NotebookError(f"{notebook} has no parameter {name!r}{nearest(name, known)}", 2)
        try:
            check(known[name](), value, name)
        except SettingError as error:
            raise NotebookError(f"{notebook}: parameter {error}", 2) from None


def at_home(value: Any) -> Any:
    """The value with ``~`` as people's home at the start of every path in it."""
    if isinstance(value, str):
        return str(place(value)) if value == "~" or value.startswith("~/") else value
    if isinstance(value, list):
        return [at_home(part) for part in value]
    return {key: at_home(part) for key, part in value.items()} if isinstance(value, dict) else value


def declarations(notebook: str | os.PathLike) -> dict[str, Callable[[], Any]]:
    """What returns the type of each parameter: annotated, or that of a literal default, or `Any`.

    Asked for, since it may import what takes seconds.

    Raises:
        NotebookError: no notebook, or one whose cells are no Python.
    """
    path = Path(notebook)
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        tagged = ["".join(cell["source"]) for cell in cells
                  if cell["cell_type"] == "code"
                  and "parameters" in cell.get("metadata", {}).get("tags", ())]
        body = ast.parse(tagged[0]).body if tagged else []
        imports = _imports(notebook_code(path))
    except FileNotFoundError:
        raise NotebookError(f"{notebook}: no such notebook", 2) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SyntaxError) as error:
        raise NotebookError(f"{notebook}: expected a Jupyter notebook of Python cells, found "
                            f"something else ({_line(error)})", 2) from None
    found: dict[str, Callable[[], Any]] = {}
    for line in body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            found[line.target.id] = partial(_type, line.annotation, imports)
        elif isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name):
            found[line.targets[0].id] = partial(_of_default, line.value)
    return found


def _imports(source: str) -> dict[str, tuple[str, str]]:
    """Names that code imports: the module of each, and what it is there ("" for the module)."""
    names = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {one.asname or one.name: (node.module, one.name) for one in node.names}
        elif isinstance(node, ast.Import):
            names |= {one.asname or one.name.partition(".")[0]:
                      (one.name if one.asname else one.name.partition(".")[0], "")
                      for one in node.names}
    return names


def _type(annotation: ast.expr, imports: Mapping[str, tuple[str, str]]) -> Any:
    """What an annotation says, quoted names in it included; `Any` if it names the unknown."""
    class Unquoted(ast.NodeTransformer):
        def visit_Constant(self, node: ast.Constant) -> ast.expr:
            return ast.parse(node.value, mode="eval").body if isinstance(node.value, str) else node

    expression = ast.Expression(Unquoted().visit(annotation))
    names = {}
    for node in ast.walk(expression):
        if isinstance(node, ast.Name):
            module, name = imports.get(node.id, ("builtins", node.id))
            try:
                found = import_module(module)
                names[node.id] = getattr(found, name) if name else found
            except (AttributeError, ImportError):
                names[node.id] = Any
    try:
        return eval(compile(expression, "annotation", "eval"), {"__builtins__": {}}, names)
    except (AttributeError, TypeError):
        return Any


def _of_default(value: ast.expr) -> Any:
    try:
        default = ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return Any
    return Any if default is None else type(default)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
