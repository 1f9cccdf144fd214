"""The gateway without the writes of its audit log, to measure what they cost. For a measurement alone: it is no part of
the product, and the product has no switch that does this.
"""

from addons.cli import main
from addons.edge.recordings import Recordings


async def _commit(*_: object) -> None:
    """Written already, it says."""


def _log(*_: object) -> None:
    """Queued already, it says."""


if __name__ == "__main__":  # to import this changes nothing
    Recordings.commit = _commit  # type: ignore[assignment]
    Recordings.log = _log  # type: ignore[assignment]
    main()
