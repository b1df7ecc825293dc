"""The differential harness: programs and calls held against real PyTorch, the oracle.

Enters: programs and samples. Leaves: verdicts. Real torch is imported here and in `interop` only, and never at run time.
"""
