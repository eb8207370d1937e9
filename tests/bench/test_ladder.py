import itertools
import json
import sys
from pathlib import Path

import msgspec
import pytest

from bench import climb, outcome
from bench.climb import Climb
from bench.evidence import Spread
from bench.ladder import Ascent, ascend, keep, quick
from bench.run import Plan
from bench.servers import SERVERS, Server
from tests.bench.points import ladder, point


def test_servers_take_turns_in_beginning() -> None:
    way = list(Climb(["a", "b", "c"], iter([20, 60])))
    assert way == [("a", 20), ("b", 20), ("c", 20), ("b", 60), ("c", 60), ("a", 60)]


def test_who_falls_climbs_no_further() -> None:
    way, seen = Climb(["a", "b"], itertools.count(1)), []
    for server, rooms in way:
        seen.append((server, rooms))
        if (server, rooms) in {("a", 2), ("b", 4)}:
            way.fell(server)
    assert [rooms for server, rooms in seen if server == "a"] == [1, 2]
    assert [rooms for server, rooms in seen if server == "b"] == [1, 2, 3, 4]


def test_the_full_ladder_has_even_steps_and_an_end() -> None:
    rungs = list(climb.full())
    assert rungs[:6] == [20, 60, 100, 150, 200, 250]
    assert rungs[-1] == climb.MOST_ROOMS


def test_ratios_compare_with_the_original_on_the_same_rung() -> None:
    ours = point(server="ours", audio_ms=Spread(0.5, 1.5, 2.0), memory_mb=100.0, cores=0.15)
    shares = outcome.ratios({"ours": ours, "original": point()})
    assert shares.keys() == {"ours"}
    assert shares["ours"] == {
        "audioP99": 0.25,
        "fanOutP99": 1.0,
        "startUpP50": 1.0,
        "memory": 0.25,
        "cpu": 0.5,
    }


def test_there_is_no_ratio_of_what_is_not_known() -> None:
    deaf = point(audio_ms=Spread())
    assert outcome.ratios({"ours": point(server="ours")}) == {}
    assert outcome.ratios({"ours": deaf, "original": point()})["ours"]["audioP99"] is None
    assert outcome.ratios({"ours": point(), "original": deaf})["ours"]["audioP99"] is None


def test_a_quick_run_ends_with_one_line_that_holds_all() -> None:
    whole = ladder(point(), point(server="ours-ffmpeg"), point(rooms=60))
    line = outcome.one_line(whole)
    assert "\n" not in line
    said = json.loads(line)
    assert said["machine"]["cpu"] == "Some CPU"
    assert said["rooms"].keys() == {"20", "60"}
    assert said["rooms"]["20"]["original"]["audioMs"] == {"p50": 0.6, "p99": 6.0, "max": 9.0}
    assert said["ratios"]["20"]["ours-ffmpeg"]["memory"] == 1.0


def test_most_rooms_are_those_of_the_last_rung_that_was_borne() -> None:
    whole = ladder(point(), point(rooms=60), point(rooms=100, beeps_lost=60))
    assert whole.most_rooms("original") == 60
    assert whole.most_rooms("ours") == 0


def test_a_ladder_is_kept_under_its_time_and_read_again(tmp_path: Path) -> None:
    whole = ladder(point(), broke={"original": "100 rooms: late"})
    path = keep(whole, "here", tmp_path / "results")
    assert path.name == "20261122T200000Z-here.json"
    assert outcome.from_pages(path.read_bytes()) == whole


def test_what_is_no_ladder_is_refused() -> None:
    with pytest.raises(msgspec.DecodeError):
        outcome.from_pages(b'{"points":[]}')


async def test_a_server_that_this_machine_cannot_run_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    told: list[str] = []
    whole, is_whole = await ascend(quick(["original"]), told.append)
    assert (whole.points, is_whole) == ([], False)
    assert whole.missing.keys() == {"original"}
    assert "original is left out: node is not on the PATH" in told[0]


@pytest.mark.slow
@pytest.mark.ffmpeg
@pytest.mark.postgres
@pytest.mark.timeout(60)
async def test_a_server_that_does_not_start_is_told_and_the_ladder_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    argv = [sys.executable, "-c", "raise SystemExit('no such setting')"]
    broken = Server("broken", lambda: argv, lambda _place: {})
    monkeypatch.setitem(SERVERS, "broken", broken)
    told: list[str] = []
    whole, is_whole = await ascend(Ascent(["broken"], [1, 2], lambda _: Plan(1, 1)), told.append)
    assert (whole.points, is_whole, len(told)) == ([], False, 1)
    assert whole.broke["broken"].startswith("1 rooms: broken ended with status 1")
    assert "no such setting" in told[0]


def test_a_point_is_told_in_short() -> None:
    told = ", ".join(outcome.in_short(point()))
    assert told.startswith("20 rooms, original, audio 0.6/6.0 ms, 0 of 120 beeps lost")
