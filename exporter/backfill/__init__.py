"""The history that the API still tells, as OpenMetrics files for `promtool`.

`order` is what is wanted, `folder` what is there already, `walk` asks for the rest day by day,
`progress` tells how far it is, and `advice` what to do with the files.
"""

from exporter.backfill.order import Order
from exporter.backfill.walk import Walk

__all__ = ["Order", "Walk"]
