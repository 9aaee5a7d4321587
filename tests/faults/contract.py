"""The faults that the descriptions of the two services name, and which of ours stand for them."""

from __future__ import annotations

_BOTH_5XX = tuple(f"{status} {when}" for status in (500, 502, 504) for when in ("before", "after"))
_SKEWED = ("429 by a clock that is ahead", "429 by a clock that is behind")
_WRONG_TYPES = (
    "success with a list",
    "success with an object",
    "success with a text",
    "success with a number",
    "success with null",
    "success with items null",
    "success with items of null",
    "success with items that are texts",
    "success with items that are an object",
    "success with resources of a wrong type",
)


def _both(*names: str) -> dict[str, tuple[str, ...] | str]:
    return {"sb": names, "src": names}


#: Names of faults and troubles by service, or, as one text, why it cannot be there.
CONTRACT: dict[str, dict[str, tuple[str, ...] | str]] = {
    "429 with headers": _both(
        "429 with reset",
        "429 with Retry-After",
        "429 with a reset in ms",
        "429 with a reset in the past",
        "429 with a reset tomorrow",
        "429 with nonsense",
        "429 with reset, for half an hour",
    ),
    "429 without headers": {
        "sb": ("429 bare", "429 bare, for good"),
        "src": ("429 bare", "429 bare, for good", "an allowance used up, without a word"),
    },
    "a clock that is skewed": {
        "sb": (
            *_SKEWED,
            "an allowance used up, by a clock that is ahead",
            "an allowance used up, by a clock that is behind",
            "an allowance used up, by headers that are ahead",
        ),
        "src": (*_SKEWED, "an allowance used up, by a clock that is ahead"),
    },
    "queue full, in three bodies": {
        "sb": "the platform has no queue of requests",
        "src": (
            "queue full, JSON",
            "queue full, text",
            "queue full, HTML",
            "queue full, with Retry-After",
            "queue full, JSON, for good",
            "a queue of one",
        ),
    },
    "maintenance": {
        "sb": ("maintenance", "maintenance, for good", "maintenance, for half an hour"),
        "src": "the service has no answer of its own for it; what stands in front of it answers 502 or HTML",
    },
    "500, 502, 504": _both(*_BOTH_5XX, "500 before, for good", "504 after, for good", "502 before, for half an hour"),
    "HTML": _both("HTML before", "HTML after", "HTML as success", "HTML before, for good", "HTML as success, for good"),
    "empty": _both("empty before", "empty after"),
    "JSON that is cut off": _both("cut off", "cut off, for good"),
    "wrong types": _both(*_WRONG_TYPES),
    "closed before the effect": _both("closed before", "closed before, for good", "closed before, for half an hour"),
    "closed after the effect": _both("closed after", "closed after, for good"),
    "slow": _both("slow", "time-out after"),
    "some items of a bulk call fail": {
        "sb": ("some items refused",),
        "src": "the service has no bulk calls; of several workspaces single ones fail in 'work that fails later'",
    },
    "work that fails later": {
        "sb": ("work that fails later",),
        "src": ("work that fails later", "work that is cancelled"),
    },
    "unknown status": _both("unknown states on the way", "unknown states in the end"),
    "stale reads": {
        "sb": ("reads that lag behind",),
        "src": ("reads that lag behind", "a state that is a minute old"),
    },
    "a token that has expired": {
        "sb": ("expired token", "expired token, platform", "expired token, platform, for good"),
        "src": ("expired token", "expired token, for good"),
    },
    "rights that are taken away": _both("revoked token", "revoked token, for good", "no right", "no right, for good"),
}
