"""Random programs of tensor calls, run under torch and under FrankenTorch's modes, compared, and shrunk when they differ.

Enters: a seed. Leaves: verdicts, and for each difference a script of a few lines that shows it. A program is data: a list of
statements over named variables (`program`), chosen by a grammar that watches the program run under torch (`generate`, `rules_*`);
`run` executes it under a library and notes what can be seen of it; `compare` holds two notes side by side; `shrink` drops what a
difference does not need.

``python -m frankentorch.conformance.fuzz --n 200 --seed 1``
"""
