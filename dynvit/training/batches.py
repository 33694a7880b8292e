"""The batches of a training, and the images that it is looked at with after each epoch."""

from __future__ import annotations

from accelerate import Accelerator

from dynvit.data.opening import drawn
from dynvit.data.pixels import PixelBatches
from dynvit.data.training import TrainingBatches
from dynvit.errors import InputError
from dynvit.finite import check_logits
from dynvit.interface import DynamicModel
from dynvit.training.prepared import Prepared
from dynvit.training.request import RunSettings, TrainRequest
from dynvit.training.trainer import Validate

HELD_OUT = 1000  # images looked at after each epoch: enough to see a fault, cheap beside an epoch


def loader_of(
    prepared: Prepared, request: TrainRequest, settings: RunSettings, accelerator: Accelerator
) -> TrainingBatches:
    """This process's batches of the training split."""
    return TrainingBatches(
        prepared.source,
        prepared.preprocessing,
        prepared.recipe.augment,
        batch_size=_share(prepared.recipe.batch_size, accelerator.num_processes),
        seed=request.seed,
        rank=accelerator.process_index,
        world=accelerator.num_processes,
        workers=settings.workers,
    )


def _share(batch_size: int, processes: int) -> int:
    if batch_size % processes:
        raise InputError(
            f"a batch of {batch_size} images does not divide over {processes} processes: give another --batch-size"
        )
    return batch_size // processes


def validation(prepared: Prepared, request: TrainRequest, settings: RunSettings, accelerator: Accelerator) -> Validate:
    """Top-1 at the neutral point on images held out of train; None of a model without such a point."""
    source = drawn(prepared.held_out, HELD_OUT, request.data_seed)
    batches = PixelBatches(source, prepared.preprocessing, workers=settings.workers)

    def validate(model: DynamicModel) -> float | None:
        if model.neutral is None:
            return None
        right = 0
        for batch in batches:
            images = batch.images.to(accelerator.device).float() / 255
            with accelerator.autocast():
                logits = model.predict(images, model.neutral).logits
            check_logits(logits, f"{request.method!r}, on images held out of its training,", model.neutral, batch.ids)
            answers = logits.argmax(1)
            right += int((answers.cpu() == batch.labels).sum())
        return 100 * right / len(source)

    return validate
