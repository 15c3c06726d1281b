"""Word images: reading, storing, generating and batching them (DESIGN §7)."""

from kdltr.data.records import DataError, ImageError, Pair, RecordError, Word

__all__ = ["DataError", "ImageError", "Pair", "RecordError", "Word"]
