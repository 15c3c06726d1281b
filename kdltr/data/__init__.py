"""Word images that there are: finding, storing, reading, degrading and batching them."""

from kdltr.data.records import DataError, ImageError, Pair, RecordError, Word

__all__ = ["DataError", "ImageError", "Pair", "RecordError", "Word"]
