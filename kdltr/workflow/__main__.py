"""Command line of the workflow.

The make targets call it:
    python -m kdltr.workflow --profile quick --cores 2
    python -m kdltr.workflow --profile paper -- --executor slurm --jobs 8
    python -m kdltr.workflow preview | publish | clean --profile quick

What follows `--` goes to snakemake.
"""

import argparse
import logging
import sys

from kdltr.workflow import engine, tidy
from kdltr.workflow.notebook import NotebookError, repository_root
from kdltr.workflow.processes import WorkflowError


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 0, snakemake's, or 2 when nothing could be started."""
    arguments = sys.argv[1:] if arguments is None else arguments
    own, extra = arguments, []
    if "--" in arguments:
        cut = arguments.index("--")
        own, extra = arguments[:cut], arguments[cut + 1 :]
    parser = argparse.ArgumentParser(
        prog="python -m kdltr.workflow",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "action", nargs="?", default="run", choices=("run", "preview", "publish", "clean")
    )
    parser.add_argument("--profile", default="quick", help="a folder of params/ (default: quick)")
    parser.add_argument("--cores", type=int, help="threads at once on this machine (default: all)")
    options = parser.parse_args(own)
    logging.basicConfig(level=logging.INFO, format="[%(asctime)s] %(message)s", datefmt="%H:%M:%S")
    root = repository_root()
    try:
        if options.action == "run":
            return engine.run(options.profile, root, options.cores, tuple(extra))
        if options.action == "preview":
            return engine.preview(options.profile, root, tuple(extra))
        getattr(tidy, options.action)(options.profile, root)
    except (WorkflowError, NotebookError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
