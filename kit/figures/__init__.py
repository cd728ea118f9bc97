"""Plots as data, and their drawing. Drawing imports matplotlib, describing a plot does not."""
