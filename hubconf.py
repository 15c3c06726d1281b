"""kdltr's shipped recognisers for `torch.hub`: a name of the weights is an entry point.

    import torch
    student = torch.hub.load("PATH/TO/kdltr", "parseq_nano_ltr_photo", source="local")
    student.read(images)      # images: (N, 3, 16, 64), RGB in [0, 1]
"""

from functools import partial as _partial

from kdltr.models.weights import list_weights as _list_weights
from kdltr.models.weights import load_recogniser as _load_recogniser

dependencies = ["numpy", "pydantic", "safetensors", "torch", "typing_extensions", "yaml"]

for _name in _list_weights():
    globals()[_name] = _partial(_load_recogniser, _name)
    globals()[_name].__doc__ = f"The recogniser {_name}, ready to read; device=… is where it goes."
