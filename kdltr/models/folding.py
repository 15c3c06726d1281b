"""Batch norm folded into convolutions: in eval mode it is a fixed scale and offset a channel."""

from __future__ import annotations

import copy
from itertools import chain, pairwise

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


@torch.no_grad()
def folded(model: nn.Module) -> nn.Module:
    """A copy in eval mode whose convolutions do their batch norm's work; the readings are the same.

    The model must apply every batch norm that stands directly after a convolution to its output,
    as those of this package do. Tensors that do not change are the model's own, not copies; the
    rest is fixed as it is now, so make the copy anew after a training step.
    """
    own = {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())}
    copied = copy.deepcopy(model, own).eval()
    for parent in copied.modules():
        for (name, layer), (following, norm) in pairwise([*parent.named_children()]):
            transposed = isinstance(layer, nn.ConvTranspose2d)
            convolution = transposed or isinstance(layer, nn.Conv2d)
            if convolution and isinstance(norm, nn.BatchNorm2d):
                setattr(parent, name, fuse_conv_bn_eval(layer, norm, transpose=transposed))
                setattr(parent, following, nn.Identity())
    return copied
