"""What the Seven Bridges half starts from, and how a seed is turned into state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .model import RIGHTS, App, Node, Volume
from .store import Store

_DAY = 86_400.0
_BILLING = "ec1dc1e3-12a3-4b56-789c-e3f2dca0c6f7"

DEFAULT_SEED: dict[str, Any] = {
    "users": {
        "labuser": {"token": "sandbox-sb-labuser", "first_name": "Lab", "last_name": "User"},
        "guest": {"token": "sandbox-sb-guest", "first_name": "Guest", "last_name": "Reader"},
    },
    "billing_groups": [{"id": _BILLING, "name": "Pilot funds", "owner": "labuser", "members": ["labuser"]}],
    "projects": [
        {
            "id": "labuser/rnaseq-cohort",
            "name": "RNAseq cohort",
            "tags": ["pilot"],
            "files": [{"name": "transcriptome_index.tar", "size": 612_000_000}],
        },
        {"id": "labuser/rnaseq-results", "name": "RNAseq results", "members": {"guest": ["read"]}},
        {"id": "labuser/fastq-archive", "name": "FASTQ archive", "fastq": {"samples": 500, "metadata": True}},
        {
            "id": "sandbox-public/reference",
            "name": "Public reference files",
            "category": "PUBLIC",
            "files": [{"name": "GRCh38.fa", "size": 3_100_000_000}],
        },
    ],
    "volumes": [
        {
            "id": "labuser/cohort_bucket",
            "service": {"type": "s3", "bucket": "lab-cohort", "prefix": "", "endpoint": "s3.amazonaws.com"},
            "fastq": {"samples": 500, "prefix": "run1/"},
        },
        {
            "id": "labuser/reference_bucket",
            "access_mode": "RO",
            "service": {"type": "s3", "bucket": "lab-reference", "prefix": "", "endpoint": "s3.amazonaws.com"},
            "objects": {"genomes/GRCh38.fa": 3_100_000_000, "genomes/GRCh38.gtf": 1_400_000_000},
        },
    ],
    "apps": [
        {
            "id": "labuser/rnaseq-cohort/salmon-workflow",
            "name": "Salmon workflow",
            "revisions": 4,
            "step": "salmon_quant",
            "inputs": {"reads": "File[]", "transcriptome_index": "File?", "threads": "int?"},
            "outputs": {"quant": "{stem}.quant.sf"},
        },
        {
            "id": "sandbox-public/reference/fastqc",
            "name": "FastQC",
            "step": "fastqc",
            "inputs": {"reads": "File[]"},
            "outputs": {"report": "{stem}.fastqc.html"},
        },
    ],
}


def fastq_names(samples: int) -> Iterator[tuple[str, str, int]]:
    """Sample, read and size of the paired FASTQ files of ``samples`` samples: S0001 read 1, S0001 read 2, …"""
    for number in range(1, samples + 1):
        for read in (1, 2):
            yield f"S{number:04d}", str(read), 1_500_000_000 + number * 400_000 + read


def build(seed: Mapping[str, Any] | None, now: float) -> Store:
    """State from a seed; everything in it was made some days before ``now``.

    A seed has ``users`` (by name, each with a ``token``), ``billing_groups``, ``projects`` (``id``, ``name``,
    ``category``, ``members``, ``settings``, ``tags``, ``files``), ``volumes`` (``id``, ``access_mode``, ``active``,
    ``service``, ``members``, ``objects`` with sizes) and ``apps`` (``id``, ``inputs`` with types, ``outputs`` with
    file names, ``revisions``, ``batch``). ``fastq: {samples, prefix, metadata}`` in a project or volume stands for
    the paired files of that many samples.

    :raises ValueError: when a part is missing or names something that is not there.
    """
    plan = DEFAULT_SEED if seed is None else seed
    if unknown := set(plan) - set(DEFAULT_SEED):
        raise ValueError(f"unknown keys in the sb seed: {sorted(unknown)}; known: {sorted(DEFAULT_SEED)}")
    store, moment = Store(), now - 30 * _DAY
    try:
        _build(store, plan, moment)
    except KeyError as error:
        raise ValueError(f"the sb seed lacks {error}") from error
    return store


def _build(store: Store, plan: Mapping[str, Any], moment: float) -> None:
    for name, user in plan.get("users", DEFAULT_SEED["users"]).items():
        store.tokens[user["token"]] = name
        store.users[name] = {
            "email": user.get("email", f"{name}@example.org"),
            "first_name": user.get("first_name", name),
            "last_name": user.get("last_name", ""),
            "affiliation": user.get("affiliation", "Example Institute"),
        }
    for group in plan.get("billing_groups", DEFAULT_SEED["billing_groups"]):
        details = {"type": "free", "pending": False, "disabled": False}
        details |= {"balance": {"currency": "USD", "amount": 287.4}}
        store.billing[group["id"]] = details | {"members": [group["owner"]]} | dict(group)
    for project in plan.get("projects", []):
        _project(store, project, moment)
    for volume in plan.get("volumes", []):
        _volume(store, volume, moment)
    for app in plan.get("apps", []):
        _app(store, app)


def _project(store: Store, plan: Mapping[str, Any], moment: float) -> None:
    group = plan.get("billing_group") or next(iter(store.billing), "")
    category = plan.get("category", "PRIVATE")
    project = store.add_project(plan["id"], plan["name"], moment, group, plan.get("settings"), category)
    project.description, project.tags = plan.get("description", ""), list(plan.get("tags", []))
    _members(project.members, plan)
    root = store.nodes[project.root]
    files = [dict(file) for file in plan.get("files", [])]
    if fastq := plan.get("fastq"):
        for sample, read, size in fastq_names(fastq["samples"]):
            metadata = {"sample_id": sample, "paired_end": read} if fastq.get("metadata") else {}
            name = f"{sample}_R{read}.fastq.gz"
            files.append({"name": name, "folder": fastq.get("prefix", ""), "size": size, "metadata": metadata})
    for file in files:
        folder = store.folder_at(root, file.get("folder", ""), moment)
        node = Node(store.new_file_id(), file["name"], "file", project.id, folder.id, moment, moment)
        node.size = file.get("size", 1)
        node.storage = {"type": "PLATFORM", "hosted_on_locations": [project.settings["location"]]}
        node.metadata, node.tags = dict(file.get("metadata", {})), list(file.get("tags", []))
        store.add_node(node)


def _members(members: dict[str, dict[str, bool]], plan: Mapping[str, Any]) -> None:
    for user, rights in plan.get("members", {}).items():
        members[user] = {right: right in rights for right in RIGHTS}


def _volume(store: Store, plan: Mapping[str, Any], moment: float) -> None:
    owner, _, name = plan["id"].partition("/")
    volume = Volume(plan["id"], name, owner, moment, moment, plan.get("access_mode", "RW"))
    volume.service = {"type": "s3", "bucket": name, "prefix": ""} | dict(plan.get("service", {}))
    volume.active = plan.get("active", True)
    volume.members[owner] = dict.fromkeys(RIGHTS, True)
    _members(volume.members, plan)
    volume.objects = dict(plan.get("objects", {}))
    if fastq := plan.get("fastq"):
        for sample, read, size in fastq_names(fastq["samples"]):
            volume.objects[f"{fastq.get('prefix', '')}{sample}_R{read}.fastq.gz"] = size
    store.volumes[volume.id] = volume


def _app(store: Store, plan: Mapping[str, Any]) -> None:
    project_id, _, short = plan["id"].rpartition("/")
    if project_id not in store.projects:
        raise KeyError(f"project {project_id} of app {plan['id']}")
    raw: dict[str, Any] = {
        "class": "Workflow",
        "cwlVersion": "v1.2",
        "label": plan.get("name", short),
        "inputs": [{"id": name, "type": kind} for name, kind in plan["inputs"].items()],
        "outputs": [{"id": name, "type": "File", "sbg:file": file} for name, file in plan["outputs"].items()],
        "sbg:step": plan.get("step", short),
    }
    if batch := plan.get("batch"):
        raw["sbg:batch"] = {"input": batch["input"], "by": dict(batch["by"])}
    revisions = [dict(raw) for _ in range(plan.get("revisions", 1))]
    store.apps[plan["id"]] = App(plan["id"], plan.get("name", short), project_id, revisions)
