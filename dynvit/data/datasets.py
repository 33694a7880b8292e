"""What is known about a data set before it is read: classes, native size, statistics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dynvit.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Embedded = Callable[[], tuple[NDArray[np.uint8], NDArray[np.int64]]]


@dataclass(frozen=True)
class DatasetSpec:
    """One image classification dataset.

    ``image_size`` is the native edge in pixels (for sets of mixed sizes, the edge that papers evaluate at).
    ``mean`` and ``std`` are per channel, of pixels in [0, 1]; ``None`` leaves them to the backbone's config.
    ``flip`` says whether a mirrored image keeps its class: a mirrored digit does not.
    ``embedded`` loads a set that comes with an installed package as images (N, H, W, 3) and labels (N,);
    without it the set is WebDataset shards. ``folder`` is the folder or URL of a set that is not registered: its
    shards are read from there by whoever opens it. A plug-in registers its own in the entry-point group
    ``dynvit.datasets``.

    >>> datasets.get("cifar10").class_names[:3], datasets.get("digits").flip
    (('airplane', 'automobile', 'bird'), False)
    """

    name: str
    num_classes: int
    image_size: int
    description: str
    class_names: tuple[str, ...] = ()
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    flip: bool = True
    embedded: Embedded | None = None
    folder: str | None = None

    @property
    def small(self) -> bool:
        """Whether images are so small (64 pixels or less) that a centre crop would throw content away."""
        return self.image_size <= 64


datasets: Registry[DatasetSpec] = Registry("dataset", "dynvit.datasets")


def _digits() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    import numpy as np
    from sklearn.datasets import load_digits

    bunch = load_digits()
    grey = np.rint(bunch.images * (255 / 16)).astype(np.uint8)  # the scans count 0..16 ink per cell
    return np.repeat(grey[..., None], 3, axis=3), bunch.target.astype(np.int64)


_CIFAR10 = "airplane automobile bird cat deer dog frog horse ship truck"
_CIFAR100 = """apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly
camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur
dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard
lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear
pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark
shrew skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone
television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm"""

_IMAGENETTE = (
    *("tench", "English springer", "cassette player", "chain saw", "church"),
    *("French horn", "garbage truck", "gas pump", "golf ball", "parachute"),
)  # in the order of their synsets, as the archive's folders
datasets.register("digits")(
    DatasetSpec(
        "digits",
        10,
        8,
        "1,797 real 8x8 scans of handwritten digits, embedded in scikit-learn; no download",
        tuple("0123456789"),
        flip=False,
        embedded=_digits,
    )
)
datasets.register("cifar10")(
    DatasetSpec("cifar10", 10, 32, "CIFAR-10: 50,000 + 10,000 images of 32x32", tuple(_CIFAR10.split()))
)
datasets.register("cifar100")(
    DatasetSpec("cifar100", 100, 32, "CIFAR-100: 50,000 + 10,000 images of 32x32", tuple(_CIFAR100.split()))
)
datasets.register("imagenette")(
    DatasetSpec("imagenette", 10, 160, "Imagenette: ten of ImageNet's classes, 9,469 + 3,925 images", _IMAGENETTE)
)
datasets.register("imagenet")(
    DatasetSpec("imagenet", 1000, 224, "ImageNet-1k (ILSVRC2012): shards as the Hub's timm/imagenet-1k-wds")
)
