"""What each command takes, and the text of its --help; those of `data` are in `data_arguments`.

The docstring of a function is the help of its command: the first line stands in the list of all,
the last paragraph is an example. It declares the arguments and returns how they are written.
"""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path

from kdltr.files import check_folder, place


def read(parser: ArgumentParser) -> str:
    """Read word images: path, text and confidence, a line each.

    With --detect: the words of photographs, and left, top, width, height of each.
    If an image cannot be read, the others are, and the exit status is 1.

    kdltr read --detect photo.jpg --picture found.png
    """
    parser.add_argument("images", nargs="+", type=named, metavar="IMAGE", help="of one word, "
                        "written from left to right (turn others first), or photographs; - is "
                        "standard input")
    parser.add_argument("--detect", action="store_true", help="find words first; boxes in pixels")
    parser.add_argument("--picture", type=file_to_write, metavar="FILE",
                        help="with --detect: draw the readings there")
    parser.add_argument("--weights", metavar="WEIGHTS", help="a file, or the name of shipped ones; "
                        "default: ppocr_ltr, a student for photographs")
    _model(parser)
    device_option(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    return "IMAGE… [options]"


def export(parser: ArgumentParser) -> str:
    """Write a recogniser as an ONNX file, compared with PyTorch.

    `kdltr read --weights FILE.onnx` and `kdltr evaluate FILE.onnx` read with it.

    kdltr export ppocr_ltr word.onnx
    """
    _weights(parser)
    parser.add_argument("target", type=file_to_write, metavar="FILE.onnx", help="the file to write")
    _model(parser)
    parser.add_argument("--int8", type=named, metavar="DATA", help="in 8 bits: smaller and "
                        "faster, a little less accurate; ranges are taken from words like those to "
                        "be read")
    return "WEIGHTS FILE.onnx [--model NAME] [--int8 DATA]"


def distill(parser: ArgumentParser) -> str:
    """Train a student; an interrupted run goes on.

    CONFIG.yaml holds `name: value` lines, the settings of DistillConfig in
    kdltr/train/config.py; output_dir is where weights and metrics go.

    kdltr distill mine.yaml --set epochs=5 --set output_dir=runs/five
    """
    parser.add_argument("config", metavar="CONFIG.yaml", help="the settings")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="changes",
                        help="in place of the file's setting; may be given repeatedly")
    return "CONFIG.yaml [--set NAME=VALUE]…"


def evaluate(parser: ArgumentParser) -> str:
    """Count the words that a recogniser reads right.

    DATA is an LMDB, a folder with labels.tsv, or one of shards. A teacher reads
    the sharp images, a student the small ones.

    kdltr evaluate ppocr_ltr data/textzoom/test/easy my-words
    """
    _weights(parser)
    parser.add_argument("data", nargs="+", metavar="DATA", help="labelled pairs or words")
    _model(parser)
    device_option(parser)
    parser.add_argument("--image", choices=("hr", "lr"), help="of pairs, for a model of your own")
    lr = parser.add_mutually_exclusive_group()
    lr.add_argument("--bicubic", action="store_true", help="let a teacher read LR, upsampled")
    lr.add_argument("--upscaler", metavar="FILE", help="or enlarged by a super-resolution network")
    parser.add_argument("--predictions", type=file_to_write, metavar="FILE.csv",
                        help="write every reading there")
    return "WEIGHTS DATA… [options]"


def bench(parser: ArgumentParser) -> str:
    """Measure what training and reading take, beside a plain way.

    kdltr bench parseq --repeats 3
    """
    parser.add_argument("recognisers", nargs="*", metavar="NAME", help="teachers' names; default: "
                        "the small three", default=["parseq_nano", "abinet_nano", "matrn_nano"])
    for name, what in (("batch-size", "of training and reading"), ("pairs", "words to train on"),
                       ("repeats", "rounds that count"), ("warmup", "rounds before them")):
        parser.add_argument(f"--{name}", type=int, metavar="N", help=what)
    device_option(parser)
    parser.add_argument("--precision", nargs="+", choices=("no", "bf16"), default=["no"],
                        metavar="P", help="no, bf16 or both; default: no, which is float32")
    parser.add_argument("--parts", nargs="+", metavar="P", help="training reading search memory "
                        "(default), operations by_length cuda_graphs compile")
    parser.add_argument("--minutes", type=float, metavar="N", help="begin nothing after so many")
    parser.add_argument("--out", type=file_to_write, metavar="FILE.json",
                        help="a result file, whole at any time")
    return "[NAME…] [options]"


def run(parser: ArgumentParser) -> str:
    """Make the results of a profile: what is missing or out of date.

    A profile is a folder of params/: quick, small, textzoom, textzoom_ablations,
    handwriting, paper, superres, iam, bench, cpu, gpu, … . What follows -- goes to
    snakemake. With --minutes a GPU that is lent for so long is tested, measured
    and trained on; a later run goes on from there.

    kdltr run gpu --minutes 12 --out results/gpu/box
    """
    _profile(parser)
    parser.add_argument("--cores", type=int, metavar="N", help="threads at once; default: all")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be made")
    parser.add_argument("--minutes", type=float, metavar="N",
                        help="a time box, without snakemake; with --out")
    parser.add_argument("--out", type=named, metavar="DIR", help="where all of the time box lies")
    _plan(parser)
    return "PROFILE [options] [-- OPTIONS OF SNAKEMAKE]"


def bundle(parser: ArgumentParser) -> str:
    """Pack a time box for a machine that has PyTorch but not kdltr.

    kdltr, the data and weights that the plan names, and packages for its Python:
    at most 60 MiB. There, in an empty folder: tar -xzf FILE, and
    PYTHONPATH=.:site python -m kdltr run gpu --minutes 12 --out DIR

    kdltr bundle box.tar.gz --python 3.12
    """
    parser.add_argument("target", type=file_to_write, metavar="FILE.tar.gz", help="the bundle")
    _plan(parser)
    parser.add_argument("--python", metavar="VERSION", help="of that machine; default: this one's")
    return "FILE.tar.gz [options]"


def report(parser: ArgumentParser) -> str:
    """Write report.html of a profile from the results there are.

    kdltr report quick
    """
    return _profile(parser)


def publish(parser: ArgumentParser) -> str:
    """Copy the results of a profile to results/reference/ and README.

    kdltr publish quick
    """
    parser.add_argument("--box", type=named, metavar="DIR",
                        help="what a time box measured, in place of them")
    _profile(parser)
    return "PROFILE [--box DIR]"


def clean(parser: ArgumentParser) -> str:
    """Remove what a profile made; what was published stays.

    kdltr clean quick
    """
    return _profile(parser)


def notebook(parser: ArgumentParser) -> str:
    """Execute one notebook with parameters of your own.

    kdltr notebook notebooks/02_teacher.ipynb out.ipynb -p train false
    """
    parser.add_argument("source", metavar="NOTEBOOK", help="the notebook to execute")
    parser.add_argument("target", type=file_to_write, metavar="COPY",
                        help="where the executed one goes")
    parser.add_argument("-f", action="append", default=[], metavar="FILE.yaml", dest="files",
                        help="parameters: `name: value` lines")
    parser.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"),
                        dest="pairs", help="one more parameter, its value as in YAML")
    parser.add_argument("--threads", type=int, metavar="N", help="of its kernel")
    parser.add_argument("--label", metavar="TEXT", help="its name in the lines of progress")
    parser.add_argument("--record", metavar="FILE", help="holds the process ids while it runs")
    return "NOTEBOOK COPY [options]"


def file_to_write(path: str) -> str:
    """The path of a file to write, looked at before the work is done."""
    path = named(path)
    found = Path(path)
    try:
        kind = "the folder" if found.is_dir() else "the device"
        if found.exists() and not found.is_file():
            raise ArgumentTypeError(f"expected a file to write, found {kind} {path}")
        check_folder(found.parent)
    except OSError as error:  # a name or a place that cannot be
        said = f"expected a file to write, found {error.strerror}" if error.strerror else error
        raise ArgumentTypeError(str(said)) from None
    return path


def named(path: str) -> str:
    """A path, ``~`` in it expanded, which shells leave in ``--out=~/box``.

    None, as from a shell's variable that is not set, is not the working directory.
    """
    if not path:
        raise ArgumentTypeError("expected a path, found none")
    return str(place(path)) if path.startswith("~") else path


def _weights(parser: ArgumentParser) -> None:
    parser.add_argument("weights", metavar="WEIGHTS", help="a file, or the name of shipped ones")


def _model(parser: ArgumentParser) -> None:
    parser.add_argument("--model", metavar="NAME", help="the model, where the file does not say")


def device_option(parser: ArgumentParser) -> None:
    """Declare --device."""
    parser.add_argument("--device", default="cpu", metavar="NAME", help="cpu (default), cuda, …")


def _plan(parser: ArgumentParser) -> None:
    parser.add_argument("--plan", type=named, metavar="FILE.yaml",
                        help="of the time box; default: params/gpu/timebox/plan.yaml")


def _profile(parser: ArgumentParser) -> str:
    parser.add_argument("profile", metavar="PROFILE", help="a folder of params/")
    return "PROFILE"
