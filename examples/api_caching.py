"""Answers of a web service, kept for an hour: errors are not kept, and an outage is bridged.

The service is a small server in this process that fails now and then.
Run it: python examples/api_caching.py [DIRECTORY]
"""

from __future__ import annotations

import json
import sys
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cacheness import cached, cacheness

cache = cacheness.for_api(cache_dir=sys.argv[1] if len(sys.argv) > 1 else "./api_cache", ttl_seconds=3600)


class Service(BaseHTTPRequestHandler):
    """Answers every request with JSON; every third with an error."""

    requests = 0

    def do_GET(self) -> None:
        """Answer."""
        Service.requests += 1
        failed = Service.requests % 3 == 0
        body = json.dumps({"path": self.path, "answer": Service.requests}).encode()
        self.send_response(503 if failed else 200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, the name is the base class's
        """Say nothing."""


server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
threading.Thread(target=server.serve_forever, daemon=True).start()


@cached(cache_instance=cache, key_prefix="weather", metadata={"service": "weather"})
def fetch(city: str, units: str = "metric") -> dict[str, Any]:
    """Ask the service. An exception passes through, and nothing is kept."""
    url = f"http://127.0.0.1:{server.server_port}/weather/{city}?units={units}"
    with urllib.request.urlopen(url, timeout=10) as response:
        answer: dict[str, Any] = json.load(response)
        return answer


def main() -> None:
    """Ask for four cities twice."""
    for turn in (1, 2):
        for city in ("London", "Paris", "Zürich", "São Paulo"):
            try:
                answer = fetch(urllib.request.quote(city))  # type: ignore[attr-defined]
            except urllib.error.HTTPError as error:
                print(f"turn {turn}: {city}: {error.code}, not kept")
            else:
                print(f"turn {turn}: {city}: {answer['answer']}")
    stats = cache.get_stats()
    print(f"{Service.requests} requests for 8 questions; {stats['cache_hits']} answered from the cache")
    assert Service.requests == 5, "three answers were kept, the failed one was asked for again"
    server.shutdown()
    cache.close()


if __name__ == "__main__":
    main()
