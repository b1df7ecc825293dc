"""The DataLoader's parts: collation, fetching, the worker process, and how batches travel."""

from frankentorch.utils.data._utils import collate as collate
from frankentorch.utils.data._utils import fetch as fetch
from frankentorch.utils.data._utils import worker as worker

# How often, in seconds, either side looks whether the other is alive.
MP_STATUS_CHECK_INTERVAL = worker.MP_STATUS_CHECK_INTERVAL
