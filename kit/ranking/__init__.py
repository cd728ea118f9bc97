"""How predictions are compared with stand-alone accuracies: truth files, the join by code, opponents, the report."""
