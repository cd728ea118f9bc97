"""The terminal dashboard: reads the event logs of runs, never the trainer's memory. Imports no torch."""
