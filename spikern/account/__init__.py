"""An account of a finished run: what its networks did, would cost, and how fair twins fare."""

from spikern.account.folder import Run, open_run
from spikern.account.gather import account
from spikern.account.text import render, table_list

__all__ = ["Run", "account", "open_run", "render", "table_list"]
