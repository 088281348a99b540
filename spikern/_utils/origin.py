"""The process that imported spikern first; one that it forks later has another number."""

import os

PROCESS = os.getpid()
