"""A link whose address the task itself finds out while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey


class PortalLink(BaseOperatorLink):
    """A link to a page of a portal; subclasses give it a name and a key.

    The operator sets ``portal_url`` as soon as it knows the page. Airflow asks for the link whenever a leg of the task
    ends, a deferral included; the leg after a deferral may not know the page any more, but the XCom of the first does.
    """

    name: ClassVar[str]
    xcom_key: ClassVar[str]

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the page's address, empty when there is none."""
        if url := getattr(operator, "portal_url", ""):
            return str(url)
        from airflow.sdk.execution_time.xcom import XCom

        return str(XCom.get_value(ti_key=ti_key, key=self.xcom_key) or "")
