"""Data sets from the shell: `kdltr data verify`, `convert`, `generate` and `shards`."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

from kdltr.data import manifest
from kdltr.data.folder import is_folder
from kdltr.data.opening import folder_to_lmdb, lmdb_to_folder
from kdltr.generator.render_shards import write_shards
from kdltr.generator.synthetic import write_textzoom_like

COLUMNS = ("name", "kind", "samples", "state", "path", "source")


def verify(options: Namespace) -> int:
    """A table of all there are; or of those that are named, returning 1 if one is not right."""
    root = options.root or manifest.DATA
    try:
        named = [member for name in options.names for member in manifest.members(name)]
    except KeyError as error:
        raise ValueError(error.args[0]) from None
    rows = manifest.table(root, named or None)
    table = [dict(zip(COLUMNS, COLUMNS, strict=True)), *rows]
    widths = {name: max(len(row[name]) for row in table) for name in COLUMNS}
    for row in table:
        cells = (row[name].ljust(width) for name, width in widths.items())
        sys.stdout.write("  ".join(cells).rstrip() + "\n")
    wrong = [row["name"] for row in rows if row["state"] != "present"] if named else []
    for name in wrong:
        try:
            manifest.verify(name, root)
        except manifest.ManifestError as error:
            sys.stderr.write(f"{options.prog}: {error}\n")
    return 1 if wrong else 0


def convert(options: Namespace) -> int:
    """Copy a folder to an LMDB, or an LMDB to a folder."""
    if Path(options.target).exists():
        raise ValueError(f"expected no {options.target}, found one; remove it or name another")
    copy = folder_to_lmdb if is_folder(options.source) else lmdb_to_folder
    count = copy(options.source, options.target, options.skip)
    sys.stdout.write(f"{options.target}: {count} records\n")
    return 0


def generate(options: Namespace) -> int:
    """Write the splits."""
    sizes = {}
    for given in options.sizes:
        split, _, pairs = given.partition("=")
        if not pairs.isdecimal():
            raise ValueError(f"expected SPLIT=PAIRS, as train1=2000, found {given!r}")
        if split in sizes:
            raise ValueError(f"expected each split once, found {split} twice; leave one out")
        sizes[split] = int(pairs)
    folders = write_textzoom_like(options.folder, sizes, options.seed, options.workers,
                                  options.effects)
    sys.stdout.writelines(f"{folder}\n" for folder in folders.values())
    return 0


def shards(options: Namespace) -> int:
    """Write the shards."""
    folder = write_shards(options.folder, options.pairs, options.seed, options.split,
                          options.workers, options.size, options.effects, options.hr_size)
    sys.stdout.write(f"{folder}\n")
    return 0
