"""How well a recogniser reads: scores, verdicts, comparisons, degradations, where it looked."""
