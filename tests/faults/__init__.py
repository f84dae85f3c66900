"""Breaking the real system on purpose and asking an independent oracle whether anything was lost or doubled.

``python -m tests.faults --studies 300 --faults 60 --seed 1``; ``make faults`` is the long run.
"""
