"""Sensors of both services."""
