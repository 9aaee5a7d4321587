"""Clients of both services. Nothing in here knows Airflow."""
