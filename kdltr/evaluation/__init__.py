"""How well a recogniser reads: scores, comparisons, degradations, and where it looked."""
