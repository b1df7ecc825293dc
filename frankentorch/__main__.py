"""``python -m frankentorch``: the command line, where ``ft`` is not on the path."""

from .cli import main

main()
