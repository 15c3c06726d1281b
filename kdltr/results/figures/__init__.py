"""Figures: plain data in, a matplotlib `Figure` out."""

from kdltr.extras import require

for package in ("matplotlib", "IPython"):
    require(package, "notebooks")
