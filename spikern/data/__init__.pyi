from .catalogue import ARCHIVE, DATASETS, Entry
from .dataset import UNLABELLED, Batch, Dataset, Split, encoded
from .loaders import load
from .task import Prediction, Task
from .transforms import Transform

__all__ = [
    "ARCHIVE",
    "DATASETS",
    "UNLABELLED",
    "Batch",
    "Dataset",
    "Entry",
    "Prediction",
    "Split",
    "Task",
    "Transform",
    "encoded",
    "load",
]
