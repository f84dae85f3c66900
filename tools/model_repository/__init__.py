"""Triton model repositories for CPUs and GPUs, generated from one table."""
