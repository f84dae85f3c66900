"""Training of the reference models on synthetic knees, small enough for two CPU cores and one evening.

Every script reads from top to bottom and can be stopped and started again: data, weights and progress live in
``build/train``. Seeds of training (from 1,000,000) and validation (from 2,000,000) never meet those of tests.

In order: ``dataset`` draws phantom studies, ``labelmap`` bends a real anatomy into more of them, ``segmentation`` and
``classification`` train for the minutes they are given and go on from their checkpoints the next time (``run``),
``export`` writes the running mean of the weights as ONNX and pins it. ``make models`` does all of it once. To train on,
start the same two scripts again with ``--minutes``: the rate warms up, falls, and ends each run at a usable model.
"""
