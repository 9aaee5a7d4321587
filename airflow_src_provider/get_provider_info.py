"""What Airflow reads while its configuration is still loading.

One literal, so that nothing can fail or be slow here: an import in this module can break every ``airflow`` command.
The keys are those of Airflow's ``provider_info.schema.json`` and ``provider.yaml.schema.json``.
"""


def get_provider_info() -> dict[str, object]:
    """Return the description of this provider."""
    return {
        "package-name": "airflow-src-provider",
        "name": "SURF Research Cloud and Seven Bridges",
        "description": (
            "Machines on SURF Research Cloud; files and analyses on the Cancer Genomics Cloud and the other Seven "
            "Bridges platforms."
        ),
        "integrations": [
            {
                "integration-name": "SURF Research Cloud",
                "external-doc-url": "https://servicedesk.surf.nl/wiki/spaces/WIKI/pages/174981256/Research+Cloud+API+-+First+Steps",
                "tags": ["service"],
            },
            {
                "integration-name": "Seven Bridges",
                "external-doc-url": "https://docs.cancergenomicscloud.org/docs/the-cgc-api",
                "tags": ["service"],
            },
        ],
        "operators": [
            {
                "integration-name": "SURF Research Cloud",
                "python-modules": ["airflow_src_provider.operators.src"],
            },
            {
                "integration-name": "Seven Bridges",
                "python-modules": ["airflow_src_provider.operators.seven_bridges"],
            },
        ],
        "sensors": [
            {
                "integration-name": "SURF Research Cloud",
                "python-modules": ["airflow_src_provider.sensors.src"],
            },
            {
                "integration-name": "Seven Bridges",
                "python-modules": ["airflow_src_provider.sensors.seven_bridges"],
            },
        ],
        "hooks": [
            {
                "integration-name": "SURF Research Cloud",
                "python-modules": ["airflow_src_provider.hooks.src"],
            },
            {
                "integration-name": "Seven Bridges",
                "python-modules": ["airflow_src_provider.hooks.seven_bridges"],
            },
        ],
        "triggers": [
            {
                "integration-name": "SURF Research Cloud",
                "python-modules": ["airflow_src_provider.triggers.src"],
            },
            {
                "integration-name": "Seven Bridges",
                "python-modules": ["airflow_src_provider.triggers.seven_bridges"],
            },
        ],
        "extra-links": [
            "airflow_src_provider.links.src.SrcWorkspaceLink",
            "airflow_src_provider.links.seven_bridges.SevenBridgesLink",
        ],
        "connection-types": [
            {
                "connection-type": "surf_research_cloud",
                "hook-name": "SURF Research Cloud",
                "hook-class-name": "airflow_src_provider.hooks.src.SrcHook",
                "ui-field-behaviour": {
                    "hidden-fields": ["login", "port", "schema"],
                    "relabeling": {
                        "host": "API address",
                        "password": "API token",
                    },
                    "placeholders": {
                        "host": "https://gw.live.surfresearchcloud.nl/v1 (used when empty)",
                        "password": "from the Research Cloud portal: Profile, API tokens",
                    },
                },
                "conn-fields": {
                    "expires_on": {
                        "label": "Token expires on",
                        "description": (
                            "The expiry date you chose when you made the token. From 14 days before, every use logs"
                            " a warning, so that nothing stops by surprise. Leave empty for no warning."
                        ),
                        "schema": {
                            "type": ["string", "null"],
                            "format": "date",
                            "default": None,
                            "section": "Token expiry",
                        },
                    },
                    "rate_limit": {
                        "label": "Requests per window",
                        "description": "Requests that SURF allows for this token within one window. If empty: 1000.",
                        "schema": {
                            "type": ["integer", "null"],
                            "minimum": 1,
                            "default": None,
                            "section": "Request budget",
                        },
                    },
                    "rate_window": {
                        "label": "Window (seconds)",
                        "description": "Length of the window in seconds. If empty: 60.",
                        "schema": {
                            "type": ["number", "null"],
                            "minimum": 1,
                            "default": None,
                            "section": "Request budget",
                        },
                    },
                    "rate_share": {
                        "label": "Share for Airflow",
                        "description": (
                            "Part of the allowance that Airflow may use, above 0 and up to 1. Less than 1 leaves "
                            "room for other tools that use the same token. If empty: 1, all of it."
                        ),
                        "schema": {
                            "type": ["number", "null"],
                            "minimum": 0,
                            "maximum": 1,
                            "default": None,
                            "section": "Request budget",
                        },
                    },
                    "budget_store": {
                        "label": "Shared store",
                        "description": (
                            "Where all processes that use this token count their requests. If empty: in a file of "
                            "this host, which is right when all of Airflow runs on one host. For several hosts: "
                            "redis://host:6379/0 or rediss://host:6379/0, which needs the extra airflow-src-"
                            "provider[redis]. If the URL holds a password, put it into the option budget_store of "
                            "the section [airflow_src_provider] of the Airflow configuration instead: here, "
                            "everybody who may see connections can read it."
                        ),
                        "schema": {
                            "type": ["string", "null"],
                            "default": None,
                            "section": "Request budget",
                        },
                    },
                    "max_wait": {
                        "label": "Longest wait (seconds)",
                        "description": (
                            "How long one request may wait in all, for its turn, a full queue, maintenance and "
                            "retries, before it fails. If empty: 900."
                        ),
                        "schema": {
                            "type": ["number", "null"],
                            "minimum": 1,
                            "default": None,
                            "section": "Request budget",
                        },
                    },
                    "connect_timeout": {
                        "label": "Connect time-out (seconds)",
                        "description": "Time to reach the service. If empty: 10.",
                        "schema": {
                            "type": ["number", "null"],
                            "minimum": 1,
                            "default": None,
                            "section": "Network",
                        },
                    },
                    "read_timeout": {
                        "label": "Read time-out (seconds)",
                        "description": "Time to wait for an answer to one request. If empty: 30.",
                        "schema": {
                            "type": ["number", "null"],
                            "minimum": 1,
                            "default": None,
                            "section": "Network",
                        },
                    },
                    "proxy": {
                        "label": "Proxy",
                        "description": (
                            "http:// or https:// address of a proxy, which may hold its user and password. If "
                            "empty: the proxy of the environment (HTTPS_PROXY, NO_PROXY), if any."
                        ),
                        "schema": {
                            "type": ["string", "null"],
                            "default": None,
                            "section": "Network",
                        },
                    },
                    "ca_bundle": {
                        "label": "CA bundle",
                        "description": (
                            "Path of a file with the certificates to trust, on every machine that runs Airflow, for"
                            " networks that inspect traffic. If empty: the usual authorities."
                        ),
                        "schema": {
                            "type": ["string", "null"],
                            "default": None,
                            "section": "Network",
                        },
                    },
                    "verify": {
                        "label": "Verify certificates",
                        "description": "Leave on: without it, anybody on the way can read the token.",
                        "schema": {
                            "type": ["boolean", "null"],
                            "default": True,
                            "section": "Network",
                        },
                    },
                    "workspace_url": {
                        "label": "Workspace service",
                        "description": (
                            "Only for an environment of Research Cloud that splits its services. If empty: the API "
                            "address followed by /workspace/."
                        ),
                        "schema": {
                            "type": ["string", "null"],
                            "default": None,
                            "section": "Service addresses",
                        },
                    },
                    "user_url": {
                        "label": "User service",
                        "description": (
                            "Only for an environment of Research Cloud that splits its services. If empty: the API "
                            "address followed by /user/."
                        ),
                        "schema": {
                            "type": ["string", "null"],
                            "default": None,
                            "section": "Service addresses",
                        },
                    },
                    "wallet_url": {
                        "label": "Wallet service",
                        "description": (
                            "Only for an environment of Research Cloud that splits its services. If empty: the API "
                            "address followed by /wallet/."
                        ),
                        "schema": {
                            "type": ["string", "null"],
                            "default": None,
                            "section": "Service addresses",
                        },
                    },
                    "catalog_url": {
                        "label": "Catalog service",
                        "description": (
                            "Only for an environment of Research Cloud that splits its services. If empty: the API "
                            "address followed by /application-market/."
                        ),
                        "schema": {
                            "type": ["string", "null"],
                            "default": None,
                            "section": "Service addresses",
                        },
                    },
                },
            },
            {
                "connection-type": "seven_bridges",
                "hook-name": "Seven Bridges / Cancer Genomics Cloud",
                "hook-class-name": "airflow_src_provider.hooks.seven_bridges.SevenBridgesHook",
                "ui-field-behaviour": {
                    "hidden-fields": ["login", "port", "schema"],
                    "relabeling": {
                        "host": "API address",
                        "password": "Authentication token",
                    },
                    "placeholders": {
                        "host": "leave empty and choose a platform below",
                        "password": "from the platform: Developer menu, Authentication token",
                    },
                },
                "conn-fields": {
                    "platform": {
                        "label": "Platform",
                        "description": (
                            "Where the token was made: a token of one platform means nothing on another. Ignored "
                            "when an API address is given."
                        ),
                        "schema": {
                            "type": ["string", "null"],
                            "enum": ["cgc", "sb-us", "sb-eu", "sb-cn", "cavatica", "biodata-catalyst"],
                            "values_display": {
                                "cgc": "Cancer Genomics Cloud (cgc)",
                                "sb-us": "Seven Bridges, US (sb-us)",
                                "sb-eu": "Seven Bridges, EU (sb-eu)",
                                "sb-cn": "Seven Bridges, China (sb-cn)",
                                "cavatica": "CAVATICA (cavatica)",
                                "biodata-catalyst": "NHLBI BioData Catalyst (biodata-catalyst)",
                            },
                            "default": "cgc",
                            "section": "Platform",
                        },
                    },
                    "advance_access": {
                        "label": "Advance access",
                        "description": (
                            "Ask for the platform's early-release features with every request. Copy-only exports "
                            "and listing by token need it."
                        ),
                        "schema": {
                            "type": ["boolean", "null"],
                            "default": True,
                            "section": "Platform",
                        },
                    },
                    "rate_limit": {
                        "label": "Requests per window",
                        "description": (
                            "Requests that the platform allows for this token within one window. If empty: 1000."
                        ),
                        "schema": {
                            "type": ["integer", "null"],
                            "minimum": 1,
                            "default": None,
                            "section": "Request budget",
                        },
                    },
                    "rate_window": {
                        "label": "Window (seconds)",
                        "description": "Length of the window in seconds. If empty: 300.",
                        "schema": {
                            "type": ["number", "null"],
                            "minimum": 1,
                            "default": None,
                            "section": "Request budget",
                        },
                    },
                    "rate_share": {
                        "label": "Share for Airflow",
                        "description": (
                            "Part of the allowance that Airflow may use, above 0 and up to 1. Less than 1 leaves "
                            "room for other tools that use the same token. If empty: 1, all of it."
                        ),
                        "schema": {
                            "type": ["number", "null"],
                            "minimum": 0,
                            "maximum": 1,
                            "default": None,
                            "section": "Request budget",
                        },
                    },
                    "budget_store": {
                        "label": "Shared store",
                        "description": (
                            "Where all processes that use this token count their requests. If empty: in a file of "
                            "this host, which is right when all of Airflow runs on one host. For several hosts: "
                            "redis://host:6379/0 or rediss://host:6379/0, which needs the extra airflow-src-"
                            "provider[redis]. If the URL holds a password, put it into the option budget_store of "
                            "the section [airflow_src_provider] of the Airflow configuration instead: here, "
                            "everybody who may see connections can read it."
                        ),
                        "schema": {
                            "type": ["string", "null"],
                            "default": None,
                            "section": "Request budget",
                        },
                    },
                    "max_wait": {
                        "label": "Longest wait (seconds)",
                        "description": (
                            "How long one request may wait in all, for its turn, a full queue, maintenance and "
                            "retries, before it fails. If empty: 900."
                        ),
                        "schema": {
                            "type": ["number", "null"],
                            "minimum": 1,
                            "default": None,
                            "section": "Request budget",
                        },
                    },
                    "connect_timeout": {
                        "label": "Connect time-out (seconds)",
                        "description": "Time to reach the service. If empty: 10.",
                        "schema": {
                            "type": ["number", "null"],
                            "minimum": 1,
                            "default": None,
                            "section": "Network",
                        },
                    },
                    "read_timeout": {
                        "label": "Read time-out (seconds)",
                        "description": "Time to wait for an answer to one request. If empty: 30.",
                        "schema": {
                            "type": ["number", "null"],
                            "minimum": 1,
                            "default": None,
                            "section": "Network",
                        },
                    },
                    "proxy": {
                        "label": "Proxy",
                        "description": (
                            "http:// or https:// address of a proxy, which may hold its user and password. If "
                            "empty: the proxy of the environment (HTTPS_PROXY, NO_PROXY), if any."
                        ),
                        "schema": {
                            "type": ["string", "null"],
                            "default": None,
                            "section": "Network",
                        },
                    },
                    "ca_bundle": {
                        "label": "CA bundle",
                        "description": (
                            "Path of a file with the certificates to trust, on every machine that runs Airflow, for"
                            " networks that inspect traffic. If empty: the usual authorities."
                        ),
                        "schema": {
                            "type": ["string", "null"],
                            "default": None,
                            "section": "Network",
                        },
                    },
                    "verify": {
                        "label": "Verify certificates",
                        "description": "Leave on: without it, anybody on the way can read the token.",
                        "schema": {
                            "type": ["boolean", "null"],
                            "default": True,
                            "section": "Network",
                        },
                    },
                },
            },
        ],
        "config": {
            "airflow_src_provider": {
                "description": "How this provider waits, and how its processes share the request budget of a token.",
                "options": {
                    "budget_dir": {
                        "description": (
                            "Directory of this host in which all processes count the requests of each token. It "
                            "must be writable for all of them and on a local disk; no token is stored in it."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "/var/lib/airflow/request-budget",
                        "default": "{AIRFLOW_HOME}/airflow_src_provider",
                    },
                    "budget_store": {
                        "description": (
                            "redis:// or rediss:// URL of a store that all hosts share, for every connection of "
                            "this provider that names none itself. If empty: each host counts by itself in "
                            "budget_dir. Needs the extra airflow-src-provider[redis]."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "sensitive": True,
                        "example": "redis://redis.example.org:6379/0",
                        "default": "",
                    },
                    "longest_sleep": {
                        "description": (
                            "Seconds that a worker may sleep in one go while the request budget is used up, the "
                            "service's queue is full or it is under maintenance. For longer than that, tasks that are "
                            "deferrable and durable give their worker back and go on later."
                        ),
                        "version_added": "0.1.0",
                        "type": "float",
                        "example": None,
                        "default": "60.0",
                    },
                    "poll_interval": {
                        "description": (
                            "Seconds between two looks at remote work, for operators that name no poll_interval. "
                            "Tests of DAGs against the sandbox set it low."
                        ),
                        "version_added": "0.1.0",
                        "type": "float",
                        "example": None,
                        "default": "30.0",
                    },
                },
            },
        },
    }
