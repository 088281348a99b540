"""Memories of states beside a network, and their opponent: counts of what followed what.

The names are in `__init__.pyi`; each is loaded when it is first used, so that a stream with a
memory needs no torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
