"""Other distillers to put beside the paper's: their terms, methods, and the criterion of one.

Where a loss attaches in a recogniser of the paper (which map, which vectors, which logits) is our
reading, for the paper does not say; a docstring says which formulas are of published code.
"""

from kdltr.losses.baselines.askd import ChannelSpatialMaps, map_distance
from kdltr.losses.baselines.criterion import BaselineCriterion
from kdltr.losses.baselines.dld import dld_path
from kdltr.losses.baselines.terms import BASELINES, TERMS

__all__ = [
    "BASELINES",
    "TERMS",
    "BaselineCriterion",
    "ChannelSpatialMaps",
    "dld_path",
    "map_distance",
]
