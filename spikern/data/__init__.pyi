from .catalogue import DATASETS, Entry
from .dataset import UNLABELLED, Batch, Dataset, Split, collate, collate_events, encoded
from .loaders import load
from .own import Samples, samples
from .task import Prediction, Task
from .transforms import Transform

__all__ = [
    "DATASETS",
    "UNLABELLED",
    "Batch",
    "Dataset",
    "Entry",
    "Prediction",
    "Samples",
    "Split",
    "Task",
    "Transform",
    "collate",
    "collate_events",
    "encoded",
    "load",
    "samples",
]
