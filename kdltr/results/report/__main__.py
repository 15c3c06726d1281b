"""`python -m kdltr.results.report`: write the report of a profile."""

import argparse
import logging
import sys

from kdltr.files import repository_root, write_text
from kdltr.results import ResultError
from kdltr.results.report import render

logger = logging.getLogger("kdltr.results.report")
LARGE = 8 * 10**6  # bytes: a phone takes its time, and a repository keeps every version


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m kdltr.results.report", description=__doc__)
    parser.add_argument("--profile", default="quick", help="folder of results/ (default quick)")
    options = parser.parse_args(arguments)
    path = repository_root() / "results" / options.profile / "report.html"
    try:
        text = render(path.parent, options.profile)
    except ResultError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    write_text(path, text)
    if (size := path.stat().st_size) > LARGE:
        logger.warning("the report has %.1f MB; draw fewer or smaller figures in the notebooks",
                       size / 1e6)  # fmt: skip
    print(f"results/{options.profile}/report.html", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
