"""The order in which jobs run."""
