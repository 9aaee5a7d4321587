"""Airflow provider for SURF Research Cloud and the Seven Bridges platforms (Cancer Genomics Cloud and its sisters)."""

__version__ = "0.1.0"
