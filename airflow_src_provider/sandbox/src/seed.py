"""What the half contains when no seed file says otherwise."""

from __future__ import annotations

from typing import Any

_CLOUD = "SURF HPC Cloud"
_GROUP = "9c3d1a7e-0f52-4b8e-8a61-7e5f4d3c2b55"
_ORACLE_GROUP = "1f7a8b2c-6d43-4e19-8b75-2a9c8d7e6f55"
_COMPUTE_SIZES = [
    "1 Core - 8 GB RAM",
    "2 Core- 16 GB RAM",
    "8 Core - 64 GB RAM",
    "A10 - 1 GPU",
    "A10 - 2 GPU",
    "RTX2080 - 1 GPU (disabled)",
]


def _size(name: str, cores: int, ram: int, gpus: int, price: int, **more: Any) -> dict[str, Any]:
    kind = "gpu-a10" if gpus else "cpu"
    tags = {"CPU": cores, "RAM [GB]": ram, "storage [GB]": 50, "Cost RCCS (credits/day)": price}
    return {
        "name": name,
        "category": "size",
        "product": "daphne-gpu" if gpus else "daphne-compute",
        "cloud_name": f"{kind}-{cores}core-{ram}gb-50gb",
        "tags": {"GPU": gpus, **tags} if gpus else tags,
        **more,
    }


DEFAULT_SEED: dict[str, Any] = {
    "collaborations": [
        {
            "id": "7f1c2a9e-3b44-4d55-8e10-2a6d1c9b7e01",
            "name": "Example Project",
            "short_name": "example-project",
        },
        {
            "id": "8a2d3b0f-4c55-4e66-9f21-3b7e2d0c8f12",
            "name": "Second Project",
            "short_name": "second-project",
        },
    ],
    "users": [
        {
            "id": "1d0c6a35-5a0e-4f7b-9a39-0b9f2a6f6a10",
            "username": "researcher1",
            "display_name": "Example Researcher",
            "token": "sandbox-src-researcher1",
            "collaborations": {"Example Project": ["src_co_wallet"], "Second Project": ["src_co_wallet"]},
        },
        {
            "id": "2e1d7b46-6b1f-4a8c-8b4a-1c0a3b7a7b21",
            "username": "researcher2",
            "display_name": "Other Researcher",
            "token": "sandbox-src-researcher2",
            "collaborations": {"Example Project": []},
        },
    ],
    "wallets": [
        {
            "id": "2b8f0e54-6c8e-4a1f-9d7c-9f3f5b1c4a22",
            "name": "SRC account for Example Project",
            "collaborations": ["Example Project"],
            # Separate budgets, as a grant has them: the first one alone does not pay for a GPU.
            "budgets": [["daphne-compute", "hpcc-hdd"], ["daphne-gpu"], ["hpcc-ssd"]],
        },
        {
            "id": "3c9a1f65-7d9f-4b2a-8e8d-0a4a6c2d5b33",
            "name": "SRC account for Second Project",
            "collaborations": ["Second Project"],
            "budgets": [["daphne-compute", "hpcc-hdd", "hpcc-ssd"]],
        },
    ],
    "subscriptions": [
        {"name": _CLOUD, "tag": "rsc-live_0e8c9f6a-7b21-4c07-9a55-1b2c3d4e5f66", "group_id": _GROUP},
        {
            "name": f"{_CLOUD} Network",
            "tag": "rsc-live_5d2b7c1e-93f0-4d8a-b6e4-7a1c0f9e8d77",
            "group_id": _GROUP,
        },
        {
            "name": "Oracle Cloud",
            "tag": "rsc-live_c4a9e8d7-2b15-4f63-8d90-3e6f5a4b7c88",
            "group_id": _ORACLE_GROUP,
            "cloud_type": "oracle",
        },
    ],
    "flavours": [
        {"name": "Ubuntu 22.04", "category": "os"},
        {"name": "Ubuntu 20.04 (disabled)", "category": "os", "status": "disabled"},
        _size("1 Core - 8 GB RAM", 1, 8, 0, 24),
        _size("2 Core- 16 GB RAM", 2, 16, 0, 48),
        _size("8 Core - 64 GB RAM", 8, 64, 0, 192),
        _size("A10 - 1 GPU", 11, 88, 1, 504, free=4),
        _size("A10 - 2 GPU", 22, 176, 2, 1008, free=0),
        _size("RTX2080 - 1 GPU (disabled)", 8, 64, 1, 400, status="disabled", free=0),
        _size("4 core - 16GB RAM", 4, 16, 0, 110),
        {"name": "250 GB", "category": "size", "product": "hpcc-hdd", "tags": {"storage [GB]": 250}},
        {"name": "1000 GB", "category": "size", "product": "hpcc-ssd", "tags": {"storage [GB]": 1000}},
    ],
    "items": [
        {
            "id": "5b2f8d1c-9ea1-4d46-8c20-4e3a1c7d8e55",
            "name": "Ubuntu 22.04",
            "application_name": "Ubuntu 22.04 (SUDO enabled)",
            "kind": "Compute",
            "parameters": ["username"],
            "offerings": [
                {
                    "id": "5a1e7c0b-8d90-4c35-b1ff-3d2f0b6c7d44",
                    "subscription": _CLOUD,
                    "flavours": ["Ubuntu 22.04", "Ubuntu 20.04 (disabled)", *_COMPUTE_SIZES],
                },
                {"subscription": "Oracle Cloud", "flavours": ["Ubuntu 22.04", "4 core - 16GB RAM"]},
            ],
        },
        {
            "name": "Jupyter Notebook",
            "kind": "Compute",
            "offerings": [{"subscription": _CLOUD, "flavours": ["Ubuntu 22.04", *_COMPUTE_SIZES]}],
        },
        {
            "name": "RStudio (Example Project only)",
            "kind": "Compute",
            "collaborations": ["Example Project"],
            "offerings": [{"subscription": _CLOUD, "flavours": ["Ubuntu 22.04", *_COMPUTE_SIZES[:3]]}],
        },
        {
            "name": "Storage volume",
            "kind": "Storage",
            "offerings": [{"subscription": _CLOUD, "flavours": ["250 GB", "1000 GB"]}],
        },
        {"name": "Private network", "kind": "Network", "offerings": [{"subscription": f"{_CLOUD} Network"}]},
        {"name": "Public IP", "kind": "IP", "offerings": [{"subscription": _CLOUD}]},
    ],
    "workspaces": [
        {"name": "reference-data", "kind": "Storage"},
        {"name": "course-data", "kind": "Storage"},
        {"name": "lab-network", "kind": "Network"},
        {"name": "lab-ip", "kind": "IP"},
        {
            "name": "gpu-box",
            "workspace_id": "0c5d2f1e-8b1a-4a57-9f0e-6e1f7a2b3c40",
            "description": "GPU machine for the cohort",
            "status": "paused",
            "size": "A10 - 1 GPU",
            "storages": ["course-data"],
        },
        {
            "name": "big-gpu-box",
            "description": "its size has no free machine",
            "status": "paused",
            "size": "A10 - 2 GPU",
        },
        {"name": "login-box", "description": "always on", "size": "2 Core- 16 GB RAM"},
        {"name": "Training box 1", "item": "Jupyter Notebook"},
        {"name": "Training box 2", "item": "Jupyter Notebook", "status": "paused"},
        {"name": "Training box 3", "item": "Jupyter Notebook", "owner": "researcher2"},
        {"name": "second-box", "co": "Second Project", "wallet": "SRC account for Second Project"},
        {"name": "old-box", "status": "deleted", "created_ago": 5184000.0, "end_in": None},
        {"name": "ends-soon", "end_in": 172800.0, "status": "paused"},
        {"name": "broken-box", "status": "unhealthy"},
    ],
}
