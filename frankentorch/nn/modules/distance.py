"""torch's home of CosineSimilarity and PairwiseDistance; see `shape`."""

from frankentorch.nn.modules.shape import CosineSimilarity, PairwiseDistance

__all__ = ["CosineSimilarity", "PairwiseDistance"]
