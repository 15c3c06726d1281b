"""Networks filled as those that gave the numbers in tests/golden, in float64.

Maps are stored at every second row and column (`thin`), and images as uint8, once: the three of
every network in crnn.npz.
"""

import numpy as np

from kdltr.superres import create_upscaler
from kdltr.superres.images import with_mask
from tests.golden.fill_sr import fill_sr
from tests.models.conftest import GOLDEN, golden

# What a parity test of the networks reads; float32 as the reference had it, then widened.
LR, HR = (with_mask(golden("crnn.npz")[f"{which}_uint8"].float() / 255).double()
          for which in ("lr", "hr"))


def filled(network, prefix=""):
    """The network with the reference's weights, which depend on ``prefix`` and name alone."""
    named = {prefix + name: value for name, value in network.state_dict().items()}
    values = {name.removeprefix(prefix): value for name, value in fill_sr(named).items()}
    network.load_state_dict(values)
    return network.double().eval()


def upscaler(name, **config):
    """A published-size network, filled."""
    return filled(create_upscaler(name, **config))


def seen(network, *names):
    """What these submodules give, filled at every pass."""
    outputs = {}
    for name in names:
        network.get_submodule(name).register_forward_hook(
            lambda _, __, out, name=name: outputs.__setitem__(name, out))
    return outputs


def thin(maps):
    """Every second row and column."""
    return maps[..., ::2, ::2]


def labels(reader, file):
    """Ids and lengths of the words that a golden file names."""
    with np.load(GOLDEN / file) as content:
        words = [reader.charset.filter(str(word)) for word in content["words"]]
    return reader.charset.encode(words)

