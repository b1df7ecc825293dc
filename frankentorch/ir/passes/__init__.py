"""The passes over `ft` modules, one a file: valid IR in, valid IR out, the same bits.

Enters: modules as `ir.build` makes them. Leaves: the same modules, rewritten. The order in which they run is `ir.pipeline.PIPELINE`.
"""
