"""`dspamd --health`: asks the daemon of a configuration whether mail would get through.

It asks /healthz at `MetricsListen` (`web.health`), which knows of the storage and of the next hop.  Without
that, it listens for the greeting at the daemon's first address: a worker answers, more it does not tell.
"""

from __future__ import annotations

import asyncio
import http.client
import os

from dspamd.app import endpoints
from dspamd.config.config import Config
from dspamd.doctor.greeting import heard, local, reason, version

PATIENCE_S = 8.0
"""Longer than the daemon needs for its answer, shorter than Docker waits."""


def ask(config: Config) -> int:
    """Print one line; returns 0 if mail would get through, else 1."""
    healthy, line = _of_monitoring(config.MetricsListen) if config.MetricsListen else _of_greeting(config)
    print(line)
    return os.EX_OK if healthy else 1


def _of_monitoring(address: str) -> tuple[bool, str]:
    host, _, port = address.rpartition(":")
    client = http.client.HTTPConnection(local(host.strip("[]")), int(port), timeout=PATIENCE_S)
    try:
        client.request("GET", "/healthz")
        answer = client.getresponse()
        lines = answer.read().decode("utf-8", "replace").splitlines()
    except TimeoutError:
        return False, f"no answer at {address} within {PATIENCE_S:g} s"
    except OSError as error:
        return False, f"no daemon answers at {address}: {reason(error)}"
    except http.client.HTTPException:
        return False, f"another program answers at {address}"
    finally:
        client.close()
    return answer.status == http.client.OK, "; ".join(lines)


def _of_greeting(config: Config) -> tuple[bool, str]:
    place = endpoints(config)[0]
    try:
        greeting = asyncio.run(
            asyncio.wait_for(heard(place.path or local(place.host), place.port), PATIENCE_S)
        )
    except TimeoutError:
        return False, f"no answer at {place} within {PATIENCE_S:g} s"
    if isinstance(greeting, OSError):
        return False, f"no daemon answers at {place}: {reason(greeting)}"
    if version(greeting) is None:
        return False, f"{place} answers: {greeting or 'nothing'}"
    return True, f"{place} answers; MetricsListen would tell of the storage and of the next hop"
