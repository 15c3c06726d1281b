"""What a person starts: the command `kdltr` with all it can do, and the reader of notebook 09."""
