"""Figures: plain data in, a matplotlib `Figure` out."""

from kdltr.files import require

for package in ("matplotlib", "IPython"):
    require(package, "notebooks")
