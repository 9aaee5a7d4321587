"""The Seven Bridges platforms: same API, different address, different accounts."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from airflow_src_provider.exceptions import InvalidInputError

DEFAULT_PLATFORM = "cgc"

PLATFORMS: Mapping[str, str] = MappingProxyType(
    {
        "cgc": "https://cgc-api.sbgenomics.com/v2",
        "sb-us": "https://api.sbgenomics.com/v2",
        "sb-eu": "https://eu-api.sbgenomics.com/v2",
        "sb-cn": "https://api.sevenbridges.cn/v2",
        "cavatica": "https://cavatica-api.sbgenomics.com/v2",
        "biodata-catalyst": "https://api.sb.biodatacatalyst.nhlbi.nih.gov/v2",
    }
)
"""Base URL by short name. A token of one platform means nothing on another."""


def base_url(platform: str = DEFAULT_PLATFORM) -> str:
    """Return the base URL of a platform, without a slash at the end.

    :param platform: short name, one of :data:`PLATFORMS`; default ``"cgc"``.
    :raises InvalidInputError: for a name that is not in the table.
    """
    try:
        return PLATFORMS[platform]
    except KeyError:
        raise InvalidInputError("platform", platform, f"one of {', '.join(PLATFORMS)}") from None
