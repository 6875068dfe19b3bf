"""What is told to operators: logs, metrics, traces."""
