"""Where alerts go is changed without other workers, shown to nobody, and reaches those who send."""

from __future__ import annotations

import json

from receivers import Receiver
from world import World


def test_where_alerts_go_is_changed_without_other_workers(world: World) -> None:
    there = Receiver()
    try:
        number = world.version()
        before = world.serve(number)
        after = world.serve(number, settings={"alert_slack": there.url})
        assert [worker.pid for worker in after.workers] == [worker.pid for worker in before.workers]
        assert world.store.desired("iris").settings == {"alert_slack": there.url}
        assert world.supervisor.try_alerts("iris") == {"log": "", "slack 127.0.0.1": ""}
        assert "this is a test" in json.loads(there.got.get(timeout=10).body)["text"]
        events = world.supervisor.events("iris")
        assert any(event.text == "alert_slack" for event in events)
        assert "secret" not in str(events)
    finally:
        there.close()
