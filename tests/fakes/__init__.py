"""Real servers on port 0 that speak the real protocol and can be told to misbehave."""
