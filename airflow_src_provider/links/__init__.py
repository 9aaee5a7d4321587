"""Links from a task in the UI to the page of its remote work."""
