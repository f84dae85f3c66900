"""The closed loop: a real Prometheus scrapes real Tritons, and the chart's rules start and drain them."""
