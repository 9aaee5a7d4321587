"""What Airflow reads while its configuration is still loading: one literal, so that nothing can fail or be slow here.

Fields after "Provider" in Airflow's own ``provider_info.schema.json`` and ``provider.yaml.schema.json``.
"""


def get_provider_info():  # type: ignore[no-untyped-def]
    """Return the description of this provider for Airflow's providers manager."""
    return {
        "package-name": "airflow-src-provider",
        "name": "SURF Research Cloud and Seven Bridges",
        "description": "Research machines on SURF Research Cloud, files and analyses on the Seven Bridges platforms.",
    }
