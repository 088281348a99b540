"""Spiking recurrent networks: trained, counted and run at the cost of their spikes.

The names are in `__init__.pyi`; each is loaded when it is first used.
"""

import lazy_loader

import spikern._utils.origin  # noqa: F401 - loaded now, before a process can be forked off

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
