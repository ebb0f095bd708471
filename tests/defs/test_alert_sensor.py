"""The sensor beside a webhook that is down, answers 500, hangs, and then takes what waited."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..environment import environment_of_others
from .receiver import receiving

# A process of its own: the deployment is read once, at import. A line in is a tick.
TICK = """
import json, logging, sys
import dagster as dg
from convcg_assets.defs import alerting, webhook
webhook.post.__kwdefaults__["timeout_s"] = 0.5
cursor = None
with dg.instance_for_test() as instance:
    for line in sys.stdin:
        with dg.build_sensor_context(instance=instance, cursor=cursor) as context:
            found = alerting.alerts(context)
        assert not found.run_requests
        cursor = found.cursor or cursor
        print(json.dumps({"said": found.skip_reason.skip_message, "cursor": cursor}), flush=True)
"""


class Sensor:
    """The sensor of a fresh home with one condition: a model that was not promoted."""

    def __init__(self, home: Path, url: str) -> None:
        decision = {"day": "2026-03-01", "version": "7", "model_version": "abc"}
        decision |= {"promoted": False, "reason": "Recall@100 is worse by 12 %."}
        self.decision = home / "promotions" / "dt=2026-03-01" / "decision.json"
        self.decision.parent.mkdir(parents=True)
        self.decision.write_text(json.dumps(decision))
        self.stderr = (home / "stderr").open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-c", TICK],
            env=environment_of_others()
            | {"CONVCG_HOME": str(home)}
            | ({"CONVCG_ALERT_WEBHOOK": url} if url else {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.stderr,
            text=True,
            cwd=Path(__file__).parents[2],
        )

    def tick(self) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        return json.loads(line)


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[Sensor]]:
    sensors: list[Sensor] = []
    yield sensors
    for sensor in sensors:
        sensor.process.kill()
        sensor.process.communicate()
        sensor.stderr.close()


def test_an_alert_waits_for_its_webhook_and_is_told_once(
    tmp_path: Path, started: list[Sensor]
) -> None:
    with receiving() as gone:
        port, url = gone.port, gone.url
    sensor = Sensor(tmp_path, url)
    started.append(sensor)
    said = [sensor.tick()["said"]]
    with receiving(port) as receiver:
        for status in (500, None):
            receiver.status = status
            said.append(sensor.tick()["said"])
    assert [text.rpartition(": ")[2] for text in said] == [
        "Connection refused",
        "the answer was status 500",
        "no answer within 0.5 s",
    ]
    sensor.decision.unlink()
    with receiving(port) as receiver:
        assert "1 alerts sent" in sensor.tick()["said"]
        assert "0 alerts sent" in sensor.tick()["said"]
        (alert,) = receiver.taken
    assert alert["alert"] == "promotion_refused"
    assert alert["text"].splitlines()[1] == (
        "promotion of 2026-03-01: version 7: Recall@100 is worse by 12 %."
    )
    shown = (tmp_path / "stderr").read_text() + json.dumps([said, sensor.tick()])
    assert "1 alerts wait" in shown
    assert "s3cret" not in shown


def test_without_an_address_it_says_so_and_looks_at_nothing(
    tmp_path: Path, started: list[Sensor]
) -> None:
    sensor = Sensor(tmp_path, "")
    started.append(sensor)
    answer = sensor.tick()
    assert answer == {"said": "CONVCG_ALERT_WEBHOOK is not set: nobody is told", "cursor": None}
