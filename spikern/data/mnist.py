"""Sequential MNIST: handwritten digits pixel by pixel, 784 steps of one feature in 0..1.

The files have 60,000 train and 10,000 test images. A twelfth of every class of the train images,
5,001 in all, drawn with a fixed seed, is the validation part. Permuted-sequential MNIST shows the
pixels in one fixed random order, the same for all images, so that neighbours in time are not
neighbours in the image; each published result uses its own permutation.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from spikern._utils.errors import DataError
from spikern.data import files, splits
from spikern.data.catalogue import DATASETS
from spikern.data.dataset import Dataset, Split
from spikern.data.formats import idx
from spikern.data.transforms import Transform, transformed

SEED = 0
PIXELS = 784
DT = 1.0
"""Milliseconds per pixel, as in Yin, Corradi and Bohté (2021): a default neuron, 20 ms, remembers
most of a row."""
SHA256 = {
    "train-images-idx3-ubyte": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
HOME = "https://ossci-datasets.s3.amazonaws.com/mnist"
PIXEL = Transform("divide", {"by": 255})
HINT = "one of the four idx files of MNIST, packed with gzip"


def sequential() -> Dataset:
    """Load the pixels row by row, from the four idx files in the folder mnist."""
    return dataset("smnist", (PIXEL,))


def permuted() -> Dataset:
    """Load the pixels in the order `splits.order(784, seed=0)`, the same on every machine."""
    order = splits.order(PIXELS, SEED).tolist()
    return dataset("psmnist", (Transform("permute", {"order": order}), PIXEL))


def dataset(name: str, transforms: tuple[Transform, ...]) -> Dataset:
    """Load the images, their pixels transformed."""
    images, labels = part("train")
    kept, held_out = splits.stratified(labels.tolist(), (11 / 12, 1 / 12), SEED)
    test_images, test_labels = part("t10k")
    return Dataset(
        name, DATASETS[name].title,
        train=split(images[kept], labels[kept], transforms),
        validation=split(images[held_out], labels[held_out], transforms),
        test=split(test_images, test_labels, transforms),
        class_names=tuple("0123456789"), every_step=False, events=False, dt=DT,
        source="MNIST (LeCun, Cortes and Burges)", licence="CC BY-SA 3.0", transforms=transforms,
    )  # fmt: skip


def part(name: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Read images (N, 784) and labels (N,) of train or t10k."""
    images = idx.read(locate(f"{name}-images-idx3-ubyte"), 3)
    labels = idx.read(locate(f"{name}-labels-idx1-ubyte"), 1)
    return paired(images, labels)


def paired(
    images: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return images as rows of pixels, and as many labels in 0..9."""
    if images.shape[1:] != (28, 28) or len(images) != len(labels) or labels.max(initial=0) > 9:
        raise DataError(
            f"MNIST: expected images (N, 28, 28) with N labels in 0..9, got {images.shape} "
            f"and {labels.shape} up to {labels.max(initial=0)}"
        )
    return images.reshape(-1, PIXELS), labels


def split(
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.uint8],
    transforms: tuple[Transform, ...],
) -> Split:
    """Return a split with pixels as steps."""
    x = torch.from_numpy(transformed(transforms, images.T[..., None])[0]).contiguous()
    return Split(x, torch.from_numpy(labels).long(), torch.full((len(labels),), PIXELS))


def locate(name: str) -> Path:
    """Return one original file."""
    return files.locate(f"mnist/{name}.gz", f"{HOME}/{name}.gz", SHA256[name], HINT)
