"""Spike trains as index lists, and the encoders that make them from analog signals.

The names are in `__init__.pyi`; each is loaded when it is first used, so that a stream can encode
without torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
