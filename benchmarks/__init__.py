"""The measured claims of the README, re-runnable: ``python -m benchmarks``."""
