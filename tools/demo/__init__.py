"""The whole system seen at work: one study in by C-STORE, its results out of Orthanc, a page to look at."""
