"""Training of the reference models on synthetic knees, small enough for two CPU cores and one evening.

Every script reads from top to bottom and can be stopped and started again: data, weights and progress live in
``build/train``. Seeds of training (from 1,000,000) and validation (from 2,000,000) never meet those of tests.

In order: ``dataset`` draws phantom studies, ``labelmap`` bends a real anatomy into more of them, ``segmentation`` and
``classification`` train for the minutes they are given and go on from their checkpoints the next time (``run``),
``study_labels`` teaches from answers about whole studies, ``export`` writes the running mean of the weights as ONNX and
pins it. ``make models`` does all of it once. To train on, start the same scripts again with ``--minutes``: the rate
warms up, falls, and ends each run at a usable model.

Real studies come in by ``import_dataset`` (``sources``: published data sets and a hospital's own), lie where
``imported`` says, say as much as ``partial`` can express, and are measured by ``held_out``;
``docs/train-your-own.md`` walks through it.
"""
