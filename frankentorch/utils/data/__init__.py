"""torch.utils.data: data sets, samplers, collation and the DataLoader.

Enters: a data set. Leaves: batches, drawn in the order torch draws them from the same seeds, by this process or by worker processes.
"""

from frankentorch.utils.data import _utils as _utils
from frankentorch.utils.data._utils.collate import default_collate, default_convert
from frankentorch.utils.data._utils.worker import get_worker_info
from frankentorch.utils.data.dataloader import DataLoader, _DatasetKind
from frankentorch.utils.data.dataset import (
    ChainDataset,
    ConcatDataset,
    Dataset,
    IterableDataset,
    StackDataset,
    Subset,
    TensorDataset,
    random_split,
)
from frankentorch.utils.data.distributed import DistributedSampler
from frankentorch.utils.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

__all__ = [
    "BatchSampler",
    "ChainDataset",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "DistributedSampler",
    "IterableDataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "StackDataset",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "WeightedRandomSampler",
    "_DatasetKind",
    "default_collate",
    "default_convert",
    "get_worker_info",
    "random_split",
]
