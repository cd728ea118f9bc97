"""Reports to read, send and print: one HTML page that needs nothing else, its pictures and tables beside it."""
