"""What decides that a result is out of date: its key, made of what the result was made from.

File times say nothing in a fresh clone, so a result is out of date when its key changes. A key
is a digest of the parameters, of the notebook's code cells, of the kdltr modules the notebook
reaches by imports and the tables that lie beside these, of the input files, and of the keys of the
runs it needs. Comments, docstrings, text cells and outputs are no part of it: they cannot change a
result.
"""

import ast
import functools
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

PACKAGE = "kdltr"
# Show or carry results but never make a model or data: a change in them redraws tables and
# figures, and leaves checkpoints and data valid.
LEAVES = (
    "results", "bench", "apps", "workflow", "models.onnx", "models.weights",
    *(f"evaluation.{name}" for name in ("efficiency", "attention", "calibration", "confusion",
                                        "compare", "bootstrap", "photographs", "peers")),
)
WHOLE = 16 * 2**20  # bytes: larger files are keyed by their size and both ends
END = 2**20


def digest(*parts: Any) -> str:
    """16 hexadecimal digits of a SHA-256 over JSON-serialisable parts."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_digest(path: Path) -> str:
    """Digest of a file's or folder's content; of files over 16 MB, of the size and both ends.

    Raises:
        FileNotFoundError: there is no such file.
    """
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.is_file())
        return digest([[str(p.relative_to(path)), file_digest(p)] for p in files])
    sha = hashlib.sha256()
    with open(path, "rb") as file:
        size = path.stat().st_size
        if size <= WHOLE:
            sha.update(file.read())
        else:
            sha.update(str(size).encode() + file.read(END))
            file.seek(-END, 2)
            sha.update(file.read())
    return sha.hexdigest()[:16]


def notebook_code(path: Path) -> str:
    """Source of the code cells, magics left out (they are no Python)."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    lines = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code").splitlines()
    return "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in lines)


@functools.cache
def code_digest(source: str) -> str:
    """Digest of Python code without comments, docstrings and layout."""
    tree = ast.parse(source)
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in ast.walk(tree):
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return digest(ast.dump(tree))


def library_digest(source: str, package_root: Path, without: Iterable[str] = ()) -> str:
    """Digest of every kdltr module that `source` reaches by imports.

    Args:
        source: Python code, for one a notebook's.
        package_root: the folder of the package `kdltr`.
        without: modules and packages under kdltr not to follow.
    """
    reached: dict[str, str] = {}
    leaves = tuple(f"{PACKAGE}.{name}." for name in without)
    waiting = set(_imports(source, PACKAGE))
    while waiting:
        name = waiting.pop()
        if name in reached or f"{name}.".startswith(leaves):
            continue
        path = _module_file(name, package_root)
        if path is None:
            continue  # an attribute, not a module
        text = path.read_text(encoding="utf-8")
        reached[name] = code_digest(text) + _tables(path, text)
        is_package = path.name == "__init__.py"
        waiting |= _imports(text, name if is_package else name.rpartition(".")[0])
        waiting |= {name.rpartition(".")[0]} - {""}  # importing a module runs its packages
    return digest(reached)


def _tables(path: Path, text: str) -> str:
    """Digests of the files beside a module that it names, as words_of_tests.csv."""
    named = (other for other in sorted(path.parent.iterdir())
             if other.suffix in (".csv", ".json") and other.name in text)
    return "".join(map(file_digest, named))


@functools.cache
def _imports(source: str, package: str) -> frozenset[str]:
    """Dotted names under kdltr that `source`, a module of `package`, imports (or may)."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return frozenset(n for n in found if n == PACKAGE or n.startswith(f"{PACKAGE}."))


def _module_file(name: str, package_root: Path) -> Path | None:
    relative = Path(*name.split(".")[1:])
    for path in (package_root / relative / "__init__.py", package_root / f"{relative}.py"):
        if path.is_file():
            return path
    return None
