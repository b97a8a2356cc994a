"""Health in words: on the printed page, on stderr, on the screen."""

import json
from dataclasses import replace
from math import nan
from pathlib import Path

import pytest

from l2o_engine.optimizers.learned.learned_optimizer import LEARNED
from l2o_engine.records.events import Diagnosed, Event
from l2o_engine.records.health import Diagnosis, Diagnostician, TruncatedVitals, Vitals
from l2o_engine.training.trainer import Lane
from l2o_tui.app import L2oApp
from l2o_tui.panes.health_pane import HealthPane
from l2o_tui.panes.status import StatusLines
from l2o_tui.state.open_run import OpenRun
from l2o_tui.text.health import details_of, findings_of, vitals_of
from tests.engine.told import vitals_from_json
from tests.tui.conftest import TINY, call
from tests.tui.scripted import LANE, ScriptedSession, a_run, preset
from tests.tui.waiting import at_rest, until

RECORDED = Path(__file__).parents[2] / "data" / "vitals"


def recorded(name: str) -> list[Vitals]:
    lines = (RECORDED / f"{name}.jsonl").read_text().splitlines()
    return [vitals_from_json(json.loads(line))[1] for line in lines]


def judged(name: str, preset_name: str) -> list[Diagnosis]:
    diagnostician = Diagnostician(preset(preset_name).experiment, preset(preset_name).report.every)
    return [diagnostician.judge(vitals) for vitals in recorded(name)]


def test_the_numbers_of_several_seeds_are_medians_and_the_trends_are_counted() -> None:
    still, *_, falling = judged("log30_late", "log30")
    shown = dict(vitals_of([still, falling, falling]))
    assert shown["end loss"] == "2 falling, 1 starting"
    assert shown["meta-gradient"] == f"{falling.vitals.gradient_norm:.2E}"
    assert shown["not finite"] == "0 of 10,501"


def test_what_was_not_measured_is_not_shown() -> None:
    (diagnosis, *_) = judged("simple_sum", "simple_sum")
    assert "sign turned" not in dict(vitals_of([diagnosis]))
    assert "clipped" in dict(vitals_of([diagnosis]))


def test_the_loss_is_shown_where_no_distance_is_known() -> None:
    (diagnosis, *_) = judged("simple_sum", "simple_sum")
    known = replace(diagnosis, vitals=replace(diagnosis.vitals, loss_ratio=0.25))
    assert "loss left" not in dict(vitals_of([known]))
    unknown = replace(known, vitals=replace(known.vitals, distance_ratio=nan, update_ratio=nan))
    shown = dict(vitals_of([unknown]))
    assert shown["loss left"] == "2.50E-01"
    assert "distance left" not in shown


def test_of_truncated_training_gates_and_layers_are_shown_in_a_line_each() -> None:
    (diagnosis, *_) = judged("simple_sum", "simple_sum")
    assert details_of([diagnosis]) == []
    assert "longest / median" not in dict(vitals_of([diagnosis]))

    def with_rate(rate: float) -> Diagnosis:
        gates = {"lstm0.input": 0.0, "lstm0.forget": 0.126, "lstm0.output": 1.0, "lstm1.input": 0.5}
        truncated = TruncatedVitals(35.0, 0.0, nan, gates, {"layer0.weights": rate, "a\x1b[2J": nan}, {})
        return replace(diagnosis, vitals=replace(diagnosis.vitals, truncated=truncated))

    told = [with_rate(0.5), with_rate(0.25), with_rate(0.75)]
    assert details_of([*told, diagnosis]) == [
        ("gates shut, i/f/o", "lstm0 0/13/100 % · lstm1 50 %"),
        ("layers' rates", "layer0.weights 5.00E-01 · a\\x1b[2J nan"),
    ]
    assert dict(vitals_of(told))["longest / median"] == "3.50E+01"


def test_a_problem_of_many_layers_takes_no_more_room_than_twenty() -> None:
    (diagnosis, *_) = judged("simple_sum", "simple_sum")
    truncated = TruncatedVitals(1.0, 0.0, nan, {}, {f"layer{k}": 1.0 for k in range(30)}, {})
    ((_, values),) = details_of([replace(diagnosis, vitals=replace(diagnosis.vitals, truncated=truncated))])
    assert values.endswith("layer19 1.00E+00 · 10 more")


def test_a_finding_of_several_seeds_is_told_once_with_whose_it_is() -> None:
    stuck, fine = judged("log43_end_log", "log43_end_log")[-1], judged("log30", "log30")[-1]
    found = findings_of({Lane(0, LEARNED): fine, Lane(3, LEARNED): stuck, Lane(5, LEARNED): stuck})
    assert [(owners, finding.code) for owners, finding in found] == [("seeds 3, 5: ", "epsilon")]
    assert [owners for owners, _ in findings_of({LANE: stuck})] == [""]


def test_show_tells_the_health_and_the_remedy(workplace: Path) -> None:
    call("run", "log43_end_log", "--no-ui", *TINY, "--iterations=30", "--run-dir", "run")
    shown = call("show", "run").out
    assert "health at 30" in shown
    assert "epsilon: the meta-gradient is" in shown
    assert 'Remedy: try meta.gradient = "unit", as in presets/log43_unit.toml' in shown
    (look,) = json.loads(call("show", "run", "--json").out)["health"]
    assert (look["iteration"], look["findings"]) == (30, ["epsilon"])


def test_a_finding_is_told_once_on_stderr_and_as_a_line_of_json(workplace: Path) -> None:
    printed = call("run", "log43_end_log", "--no-ui", *TINY, "--iterations=30", "--run-dir", "a")
    assert printed.err.count("of the step is lost") == 1
    assert "at 30: the meta-gradient" in printed.err
    assert "lost" not in printed.out
    found = call("run", "log43_end_log", "--json", *TINY, "--iterations=30", "--run-dir", "b").events("finding")
    assert [(finding["iteration"], finding["code"], finding["seed"]) for finding in found] == [(30, "epsilon", 0)]
    assert set(found[0]) >= {"message", "remedy"}


def stuck_run() -> list[Event]:
    return [*a_run(preset("log43_end_log")), *(Diagnosed(LANE, d) for d in judged("log43_end_log", "log43_end_log"))]


@pytest.mark.parametrize("size", [(120, 40), (80, 24)])
async def test_the_health_pane_names_the_cause(size: tuple[int, int]) -> None:
    session = ScriptedSession(stuck_run())
    app = L2oApp(OpenRun(session, preset("log43_end_log")))
    async with app.run_test(size=size) as pilot:
        await until(pilot, session.has_told.is_set)
        await pilot.press("shift+tab", "shift+tab")  # on a small screen, the last pane but one
        await at_rest(pilot)
        pane = app.screen.query_one(HealthPane)
        assert pane.border_title == "health: 1 finding"
        text = str(pane.render())
        assert "epsilon" in text
        assert ("99.999999 % of the step is lost" in text) == (size == (80, 24))  # else beside it there is the log
        assert "presets/log43_unit.toml" in text
        assert "⚠ epsilon" in str(app.screen.query_one(StatusLines).render())
        await pilot.press("q")
        await pilot.press("q")


async def test_the_health_pane_of_a_healthy_run_has_numbers_and_no_finding() -> None:
    healthy = judged("log30", "log30")[-1]
    session = ScriptedSession([*a_run(preset()), Diagnosed(LANE, healthy)])
    app = L2oApp(OpenRun(session, preset()))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, session.has_told.is_set)
        await at_rest(pilot)
        pane = app.screen.query_one(HealthPane)
        assert (pane.border_title, pane.border_subtitle) == ("health", "at 100,000")
        assert "⚠" not in str(pane.render()) + str(app.screen.query_one(StatusLines).render())
        await pilot.press("q")
        await pilot.press("q")
