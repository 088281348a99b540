"""Data sets from their original files, with fixed splits, as tensors or events.

The names are in `__init__.pyi`; each is loaded when it is first used, so that the list of data sets
needs no torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
