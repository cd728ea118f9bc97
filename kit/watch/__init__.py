"""Headless: logs and files of runs, folded into what console, dashboard and reports show. No torch, no terminal."""
