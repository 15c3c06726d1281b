"""What the commands of `kdltr data` take, and their --help, as in `kdltr.apps.arguments`."""

from __future__ import annotations

from argparse import ArgumentParser

from kdltr.apps.arguments import device_option, named
from kdltr.generator import EFFECTS, SPLITS
from kdltr.machine import cores

CORES = cores()


def data(parser: ArgumentParser) -> str:
    """Check, convert and generate data sets.

    kdltr data verify textzoom
    """
    return "COMMAND …"


def verify(parser: ArgumentParser) -> str:
    """Compare data sets and checkpoints with the published ones.

    Without a NAME: a table of all that are known. The exit status is 1 if one that
    is named is missing or is not the published one.

    kdltr data verify textzoom parseq
    """
    parser.add_argument("names", nargs="*", metavar="NAME",
                        help="of data/manifest.yaml, or a group such as textzoom")
    parser.add_argument("--root", type=named, metavar="FOLDER",
                        help="the data folder; default: data")
    return "[NAME…] [--root FOLDER]"


def convert(parser: ArgumentParser) -> str:
    """Copy a folder of images to an LMDB, or an LMDB to a folder.

    kdltr data convert my-words my-words.lmdb
    """
    parser.add_argument("source", metavar="SOURCE", help="a folder with labels.tsv, or an LMDB")
    parser.add_argument("target", type=named, metavar="TARGET", help="the copy; it must not exist")
    parser.add_argument("--skip", action="store_true", help="leave damaged records out")
    return "SOURCE TARGET [--skip]"


def generate(parser: ArgumentParser) -> str:
    """Make word pairs from nothing, as LMDBs like TextZoom's.

    The splits are train1, train2, test/easy, test/medium and test/hard.

    kdltr data generate data/mine train1=2000 test/easy=200
    """
    parser.add_argument("folder", type=named, metavar="FOLDER", help="where the splits go")
    parser.add_argument("sizes", nargs="+", metavar="SPLIT=PAIRS", help="how many of each")
    _making(parser)
    return "FOLDER SPLIT=PAIRS… [options]"


def shards(parser: ArgumentParser) -> str:
    """Make word pairs by the million, in files that feed a GPU.

    kdltr data shards data/generated/shards --pairs 100000 --workers 16
    """
    parser.add_argument("folder", type=named, metavar="FOLDER", help="where the shards go")
    parser.add_argument("--pairs", type=int, required=True, metavar="N", help="how many")
    parser.add_argument("--split", choices=SPLITS, default="train1", metavar="NAME",
                        help=f"of {', '.join(SPLITS)}; default: train1")
    parser.add_argument("--size", type=int, default=8192, help="pairs a shard; default: 8192")
    parser.add_argument("--hr-size", nargs=2, type=int, default=(32, 128), metavar=("H", "W"),
                        help="of the sharp pictures; default: 32 128")
    _making(parser)
    return "FOLDER --pairs N [options]"


def feed(parser: ArgumentParser) -> str:
    """Measure whether rendering and shards keep up with a GPU.

    kdltr data feed data/generated/shards --workers 16 --device cuda
    """
    parser.add_argument("folder", metavar="FOLDER", help="a folder of shards")
    parser.add_argument("--workers", type=int, default=CORES, metavar="N",
                        help="processes that render; default: all cores")
    parser.add_argument("--pairs", type=int, default=1000, metavar="N",
                        help="pairs that each renders; default: 1000")
    parser.add_argument("--batch-size", type=int, default=256, metavar="N", help="default: 256")
    device_option(parser)
    return "FOLDER [options]"


def _making(parser: ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="default: 1")
    parser.add_argument("--workers", type=int, default=CORES, metavar="N",
                        help="processes; default: all cores")
    parser.add_argument("--effects", nargs="+", default=(), choices=EFFECTS, metavar="NAME",
                        help=f"of {', '.join(EFFECTS)}")
