"""How the console writes times: to the second, and so that they sort and can be searched for in logs."""

from __future__ import annotations

DATETIME_FORMAT = "Y-m-d H:i:s"
DATE_FORMAT = "Y-m-d"
