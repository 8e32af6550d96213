"""The web config file, in the format of Prometheus' exporter-toolkit: how we are served, to whom.

`file` reads it, part by `part`; `tls` makes of it what OpenSSL wants, `password` checks passwords,
and `guard` keeps what it says in force while it changes. The last two are imported by who serves.
"""

from exporter.webconfig.file import Loaded, Rules, load

__all__ = ["Loaded", "Rules", "load"]
