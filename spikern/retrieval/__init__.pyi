from .classes import ClassMemory, examples, recall_classes, remember_classes
from .counting import count_recalling
from .judging import Found, bits, choose, find
from .memory import Memory, load_memory
from .mixing import Lookup, Recall, RecallState
from .recalling import Recalling
from .remembering import remember
from .search import Reads
from .streaming import RecallingStream, load_recalling

__all__ = [
    "ClassMemory",
    "Found",
    "Lookup",
    "Memory",
    "Reads",
    "Recall",
    "RecallState",
    "Recalling",
    "RecallingStream",
    "bits",
    "choose",
    "count_recalling",
    "examples",
    "find",
    "load_memory",
    "load_recalling",
    "recall_classes",
    "remember",
    "remember_classes",
]
