"""What Kubernetes' autoscaler makes of the chart: over a simulated year, or closed-loop on real servers."""
