"""What stands behind an accuracy: where a recogniser looks, what it confuses, when it is sure."""
