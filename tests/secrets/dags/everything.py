"""Every operator and sensor of the package at least once; which of them succeed is up to the sandbox."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG

from airflow_src_provider.operators import seven_bridges as sb
from airflow_src_provider.operators import src
from airflow_src_provider.sensors.seven_bridges import SevenBridgesJobSensor, SevenBridgesTaskSensor
from airflow_src_provider.sensors.src import SrcCapacitySensor, SrcWorkspaceSensor

PROJECT, RESULTS, BUCKET = "labuser/cohort", "labuser/results", "labuser/bucket"
READS = {"project": PROJECT, "name_pattern": "*.fastq.gz"}
SALMON = {"project": PROJECT, "app": "labuser/cohort/salmon", "inputs": {"reads": READS}}
GPU_BOX = "0c5d2f1e-8b1a-4a57-9f0e-6e1f7a2b3c40"
WAITING = {"poll_interval": 0.2, "deferrable": True}
SENSING = {"poke_interval": 0.2, "deferrable": True}


def dag(dag_id: str) -> DAG:
    return DAG(dag_id, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False)


with dag("everything"):
    sb.SevenBridgesFindFilesOperator(task_id="find", files=READS)
    sb.SevenBridgesCreateProjectOperator(task_id="project", name="New study")
    sb.SevenBridgesUpdateMetadataOperator(task_id="metadata", files=READS, metadata={"case_id": "C1"}, **WAITING)
    sb.SevenBridgesCopyFilesOperator(task_id="copy", files=READS, project=RESULTS, **WAITING)
    imported = sb.SevenBridgesImportFilesOperator(
        task_id="import", volume=BUCKET, prefix="run1/", project="labuser/imported", **WAITING
    )
    sb.SevenBridgesExportFilesOperator(
        task_id="export", files=READS, volume=BUCKET, prefix="out/", keep_on_platform=True, **WAITING
    )
    salmon = sb.SevenBridgesSubmitTaskOperator(
        task_id="salmon", name="salmon", batch_input="reads", batch_by=["metadata.sample_id"], **SALMON, **WAITING
    )
    started = sb.SevenBridgesSubmitTaskOperator(task_id="started", name="started", wait_for_completion=False, **SALMON)
    SevenBridgesTaskSensor(task_id="task_sensor", tasks=started.output["task_id"], **SENSING)
    to_abort = sb.SevenBridgesSubmitTaskOperator(
        task_id="to_abort", name="to abort", wait_for_completion=False, **SALMON
    )
    sb.SevenBridgesAbortTaskOperator(task_id="abort", tasks=to_abort.output["task_id"], **WAITING)
    sb.SevenBridgesSubmitTasksOperator(
        task_id="tasks",
        project=PROJECT,
        app=SALMON["app"],
        tasks=[{"name": "one", "inputs": {"reads": READS}}, {"name": "two", "inputs": {"reads": READS}}],
        **WAITING,
    )
    sb.SevenBridgesRerunFailedTasksOperator(task_id="rerun", tasks=salmon.output["batch_ids"], **WAITING)
    jobs = sb.SevenBridgesRequestOperator(
        task_id="jobs",
        path="/bulk/storage/imports/create",
        method="POST",
        json={
            "items": [
                {
                    "source": {"volume": BUCKET, "location": "run1/S0001_R1.fastq.gz"},
                    "destination": {"project": RESULTS, "name": "again.gz"},
                }
            ]
        },
        response_filter=lambda answer: [item["resource"]["id"] for item in answer["items"]],
        multiple_outputs=False,
    )
    SevenBridgesJobSensor(task_id="job_sensor", kind="imports", jobs=jobs.output, **SENSING)
    deleted = sb.SevenBridgesDeleteFilesOperator(task_id="delete", files={"project": "labuser/imported"}, **WAITING)
    imported >> deleted

    resumed = src.SrcResumeWorkspaceOperator(task_id="resume", workspace="gpu-box", **WAITING)
    removed = src.SrcDeleteWorkspaceOperator(task_id="remove", workspace_id=GPU_BOX, **WAITING)
    SrcCapacitySensor(task_id="capacity", workspace="gpu-box", **SENSING) >> resumed >> removed
    SrcWorkspaceSensor(task_id="workspace_sensor", workspace="login-box", **SENSING)
    firewall = src.SrcUpdateFirewallOperator(
        task_id="firewall", workspace="login-box", add="in tcp 8080 8080 0.0.0.0/0", **WAITING
    )
    storages = src.SrcUpdateStoragesOperator(
        task_id="storages", workspace="login-box", attach="reference-data", **WAITING
    )
    wallet = src.SrcChangeWalletOperator(
        task_id="wallet", workspace="login-box", wallet="SRC account for Example Project", **WAITING
    )
    rename = src.SrcUpdateWorkspaceOperator(task_id="rename", workspace="login-box", extend_by=86400, **WAITING)
    reboot = src.SrcRebootWorkspaceOperator(task_id="reboot", workspace="login-box", **WAITING)
    pause = src.SrcPauseWorkspaceOperator(task_id="pause", workspace="login-box", **WAITING)
    firewall >> storages >> wallet >> rename >> reboot >> pause
    src.SrcListWorkspacesOperator(task_id="list", workspace={"mine": True})
    src.SrcCreateWorkspaceOperator(
        task_id="create",
        name="new-box",
        collaboration="Example Project",
        wallet="SRC account for Example Project",
        catalog_item="Jupyter Notebook",
        size="2 Core- 16 GB RAM",
        lifetime=86400,
        **WAITING,
    )
    src.SrcRequestOperator(task_id="request", service="user", path="users/self/")

# For what a service may answer: what an error says, and what a success says that goes on into an XCom.
with dag("answers"):
    sb.SevenBridgesRequestOperator(task_id="platform_request", path="/user")
    sb.SevenBridgesRequestOperator(task_id="platform_effect", path="/projects", method="POST", json={"name": "Own"})
    sb.SevenBridgesFindFilesOperator(task_id="platform_list", files=READS)
    src.SrcRequestOperator(task_id="request", service="user", path="users/self/")
    src.SrcListWorkspacesOperator(task_id="list", workspace={"mine": True})
    SrcWorkspaceSensor(task_id="sensor", workspace="second-box", timeout=5, **SENSING)
