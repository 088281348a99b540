from .catalogue import ARCHIVE, DATASETS, Entry
from .dataset import UNLABELLED, Batch, Dataset, Split, encoded
from .loaders import load

__all__ = [
    "ARCHIVE",
    "DATASETS",
    "UNLABELLED",
    "Batch",
    "Dataset",
    "Entry",
    "Split",
    "encoded",
    "load",
]
