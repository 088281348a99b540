"""Memories of states beside a network, and their opponent: counts of what followed what."""

from spikern.retrieval.counting import count_recalling
from spikern.retrieval.judging import Found, bits, choose, find
from spikern.retrieval.memory import Memory, load_memory, remember
from spikern.retrieval.recalling import Recall, Recalling, RecallingStream, RecallState
from spikern.retrieval.search import Reads

__all__ = [
    "Found",
    "Memory",
    "Reads",
    "Recall",
    "RecallState",
    "Recalling",
    "RecallingStream",
    "bits",
    "choose",
    "count_recalling",
    "find",
    "load_memory",
    "remember",
]
