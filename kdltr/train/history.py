"""What a run leaves beside its weights: metrics as CSV, and for TensorBoard if it is there."""

from __future__ import annotations

import csv
import io
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from kdltr.files import write_text


class History:
    """Rows by step, kept in one CSV file and, where TensorBoard is installed, in a run of it.

    A resumed run drops the rows after the step it resumes at, so that no step stands twice.
    """

    def __init__(
        self, path: Path, resume_at: int, tensorboard: Path | None = None, write: bool = True
    ) -> None:
        self.path, self.write = path, write  # several processes keep one history
        self.rows: list[dict[str, Any]] = []
        if resume_at and path.is_file():
            with path.open(newline="") as file:
                self.rows = [row for row in csv.DictReader(file) if int(row["step"]) <= resume_at]
        self.board = None
        if tensorboard and write and find_spec("tensorboard"):  # of the extra `notebooks`
            from torch.utils.tensorboard import SummaryWriter

            self.board = SummaryWriter(str(tensorboard), purge_step=resume_at + 1)
        self.save()

    def add(self, row: dict[str, Any]) -> None:
        """Add one row; ``row["step"]`` is its step. `save` writes it."""
        self.rows.append(row)
        if self.board:
            for name, value in row.items():
                if name != "step":
                    self.board.add_scalar(f"{self.path.stem}/{name}", value, row["step"])

    def save(self) -> None:
        """Write the CSV, wholly or not at all."""
        if not self.write:
            return
        if not self.rows:
            self.path.unlink(missing_ok=True)
            return
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(self.rows[-1]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(self.path, text.getvalue())

    def close(self) -> None:
        """Save and release the TensorBoard file."""
        self.save()
        if self.board:
            self.board.close()
