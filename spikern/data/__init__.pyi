from .catalogue import ARCHIVE, DATASETS, Entry
from .dataset import UNLABELLED, Batch, Dataset, Split, collate, encoded
from .loaders import load

__all__ = [
    "ARCHIVE",
    "DATASETS",
    "UNLABELLED",
    "Batch",
    "Dataset",
    "Entry",
    "Split",
    "collate",
    "encoded",
    "load",
]
