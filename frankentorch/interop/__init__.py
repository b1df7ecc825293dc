"""Other people's formats and protocols: torch's files, safetensors, NumPy, DLPack.

Enters: files, arrays, capsules. Leaves: tensors; and back. Each module imports what it needs when it is first used.
"""
