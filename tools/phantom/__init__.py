"""A synthetic knee: one seed gives one study, with the truth about it.

No real study may live in this repository, and no test can ask a real patient where the tear is. The phantom answers
both: parametric anatomy and lesions drawn from published dimensions, imaged by the spin-echo equations. It is for
research, tests and training only, and no picture from it is a patient.
"""
