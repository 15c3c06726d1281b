"""The two-stage methods: a super-resolution network in front of a recogniser of HR images.

    net = create_upscaler("tsrn", "tsrn.pth")       # or stt, tatt, c3stisr; a published checkpoint
    reader = TwoStage(net, create_model("parseq", "parseq-bb5792a6.pt"))
    reader.read(images)                             # (N, 3, 16, 64), as any recogniser of LR images
"""

from kdltr.superres.registry import create_upscaler, list_upscalers
from kdltr.superres.saved import load_upscaler, save_upscaler
from kdltr.superres.trunk import Upscaler
from kdltr.superres.two_stage import TwoStage, load_two_stage

__all__ = [
    "TwoStage",
    "Upscaler",
    "create_upscaler",
    "list_upscalers",
    "load_two_stage",
    "load_upscaler",
    "save_upscaler",
]
