"""Side-by-side timings in one process: what is fast is measured, not asserted."""
