"""torch.nn"""
from frankentorch.nn import functional, init, parameter  # noqa: F401
