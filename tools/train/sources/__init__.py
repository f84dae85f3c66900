"""Data sets of real knees, each read from the folder layout in which it is published; a hospital's own among them.

Every module finds its studies (``find``) and reads one of them as a ``Record``; ``example`` lays a record on the
model's grid. No data set says everything, so what it does not say stays unknown (``tools.train.partial``). None of the
data is part of this repository: each comes under terms of its own.
"""
