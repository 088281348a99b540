"""All text: numbers, tables for the terminal, the HTML report, Markdown, sentences.

The names are in `__init__.pyi`; the report needs matplotlib, a table of layers does not.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
