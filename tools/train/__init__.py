"""Training of the reference models on synthetic knees, small enough for two CPU cores and one evening.

Every script reads from top to bottom and can be stopped and started again: data, weights and progress live in
``build/train``. Seeds of training (from 1,000,000) and validation (from 2,000,000) never meet those of tests.
"""
