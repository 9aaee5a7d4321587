"""Triggers: waits in the triggerer, all of one connection through one poller."""
