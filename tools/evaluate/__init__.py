"""How good the served models are, measured the way the service uses them; ``python -m tools.evaluate`` writes a report.

The numbers of synthetic knees say how well the models know the phantom, not how well they read patients. The part on
real images is the only one that says something about those.
"""
