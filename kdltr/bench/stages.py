"""Measurements of two-stage methods beside the student: one stage is the paper's point.

A network of published size takes CRNN for its text priors and STT's recogniser for its losses, a
`_nano` one their small forms.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack

import torch

from kdltr.bench.clock import TOTAL, Laps
from kdltr.bench.lengths import words_of_length
from kdltr.bench.rows import KDLTR, ONE, READING, STAGES, STEP, maker, times
from kdltr.bench.subject import Settings, TrainingStep
from kdltr.charset import DIGITS_FIRST36
from kdltr.models import Recogniser, create_model
from kdltr.results import Row
from kdltr.results.tables import upscaler_name
from kdltr.superres import TwoStage, Upscaler, create_upscaler
from kdltr.superres.reader import create_reader
from kdltr.superres.trunk import HR_SIZE, LR_SIZE
from kdltr.train.superres import WEIGHTS, UpscaleConfig
from kdltr.train.superres.loop import adam, turns
from kdltr.train.superres.terms import FROM_READER, Upscaling

log = logging.getLogger(__name__)


def two_stages(recogniser: str, networks: Sequence[str], settings: Settings) -> list[Row]:
    """Reading and a training step, kdltr's student in turn with each of the networks.

    Reading is by the network and then the teacher, and ready as the evaluation has it. A network's
    training step asks neither the recogniser nor its teacher's losses; where STT's recogniser looks
    in the HR images is known, as in a training.

    Args:
        recogniser: the teacher's name.
        networks: of `kdltr.superres.list_upscalers`; rows have the names that the paper gives them.
    """
    log.info("%s: two stages", recogniser)
    step = TrainingStep(recogniser, settings)
    named = {upscaler_name(network): network for network in networks}
    upscalers = {name: create_upscaler(network) for name, network in named.items()}
    ways = {name: TwoStage(upscaler, step.teacher, _generator(upscaler)).to(step.device)
            .for_reading() for name, upscaler in upscalers.items()}  # fmt: skip
    student = step.student.eval().for_reading()
    rows = []
    for subset, n in ((READING, settings.batch_size), (ONE, 1)):
        images = step.pairs.blurred(torch.arange(n))
        lengths = [len(word) for word in step.pairs.words[:n]]
        readers = {KDLTR: student} | ways
        actions = {name: lambda _, reader=reader, images=images: reader(images)
                   for name, reader in readers.items()}
        with ExitStack() as ends:
            for reader in {student, *(way.recogniser for way in ways.values())}:
                ends.enter_context(words_of_length(reader, lengths))
            with torch.inference_mode(), settings.autocast():
                timings = settings.time(actions)
        make = maker(recogniser, subset, settings, STAGES, batch_size=n)
        rows += times(make, timings)
        rows += [make(name, "images a second", n / found[TOTAL].median, "1/s")
                 for name, found in timings.items()]
    step.student.train()
    steps = {KDLTR: step} | {name: UpscalingStep(network, step) for name, network in named.items()}
    return rows + times(maker(recogniser, STEP, settings, STAGES), settings.time(steps))


def _small(network: str, name: str) -> str:
    """The form of a recogniser that goes with a network."""
    return name + "_nano" * network.endswith("_nano")


def _generator(upscaler: Upscaler) -> Recogniser | None:
    return create_model(_small(upscaler.name, "crnn")) if upscaler.takes_prior else None


class UpscalingStep:
    """The step of `kdltr.train.superres.train_upscaler`, on a step's words.

    Args:
        network: of `kdltr.superres.list_upscalers`.
        of: whose words and settings.
    """

    def __init__(self, network: str, of: TrainingStep) -> None:
        self.settings, device, n = of.settings, torch.device(of.device), of.settings.batch_size
        weights = WEIGHTS[network.removesuffix("_nano")]
        reader = create_reader(_small(network, "stt_reader")) if FROM_READER & {*weights} else None
        upscaler = create_upscaler(network)
        training = Upscaling(upscaler, weights, _generator(upscaler), reader)
        self.training = training.to(device).train()
        self.training.send(device)
        self.optimiser = adam(self.training, UpscaleConfig.learning_rate)
        self.lr, self.hr = (torch.rand(n, 3, *size, device=device) for size in (LR_SIZE, HR_SIZE))
        words = [DIGITS_FIRST36.filter(word.lower()) for word in of.pairs.words[:n]]
        labels, lengths = (x.to(device) for x in DIGITS_FIRST36.encode(words))
        self.given = {"labels": labels, "lengths": lengths}
        if reader is not None:
            with torch.no_grad():
                self.given["looked"] = reader(self.hr, labels)[1]
        if "consistency" in weights:
            self.given["turn"] = turns(n, of.settings.seed, device)

    def __call__(self, laps: Laps) -> None:
        """One step."""
        with self.settings.autocast():
            terms = self.training(self.lr, self.hr, **self.given)
        terms["total"].backward()
        torch.nn.utils.clip_grad_norm_(self.training.upscaler.parameters(), UpscaleConfig.clip)
        self.optimiser.step()
        self.optimiser.zero_grad()
