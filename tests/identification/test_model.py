# SPDX-License-Identifier: MIT
"""What a person writes: an ode.Model that is wrong, and a log that is wrong, are each a sentence with a next step."""

import math

import numpy as np
import pytest

from ttzo.exporter import ode
from ttzo.exporter.pde.expression import constant
from ttzo.exporter.zoo.simulations import SIMULATIONS
from ttzo.host_tools.data.data_error import DataError
from ttzo.host_tools.data.read_log import LogRow, read_log


def model(**options) -> ode.Model:
    return ode.Model(
        **{
            "substep": 1.0,
            "states": {"x": 0.0},
            "inputs": ["u"],
            "unknowns": {"tau": 4.0},
            "rates": lambda m: [(m.u - m.x) / m.tau],
            "measured": {"y": "x"},
        }
        | options
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rates": lambda m: [(m.u - m.z) / m.tau]}, "no state, input or constant 'z'"),
        ({"rates": lambda m: [m.u, m.x]}, "2 values for 1 states"),
        ({"rates": lambda m: {"y": m.u}}, "differ in x, y"),
        ({"rates": lambda m: [math.sin(m.x)]}, "not a Python number"),
        ({"rates": lambda m: [np.sin(m.x)]}, "numpy's sin cannot be traced"),
        ({"rates": lambda m: [None]}, "the rate of x is nothing"),
        ({"rates": lambda m: [m.x if m.x > 0 else m.u]}, "cannot branch"),
        ({"unknowns": {"tau": -1.0}}, "has no logarithm"),
        ({"unknowns": {"tau": ode.Unknown(4.0, 5.0, 9.0)}}, "starts at 4, its bounds are 5 and 9"),
        ({"unknowns": {"tau": ode.Unknown(0.0, log=False)}}, "has no bounds"),
        ({"unknowns": {"tau": "4"}}, "tau is '4'"),
        ({"unknowns": {}}, "0 unknowns"),
        ({"unknowns": {f"c{k}": 1.0 for k in range(17)}}, "17 unknowns; 1 to 16"),
        ({"inputs": ["x"]}, "x is named twice"),
        ({"inputs": "u"}, "the inputs have no names"),
        ({"linear": ["w"]}, "linear names w"),
        ({"substep": 0.0}, "substep is 0.0"),
        ({"substep": "1"}, "substep is '1'"),
        ({"time": "year"}, "no unit of time 'year'"),
        ({"measured": {}}, "0 measured columns"),
        ({"measured": {"y": ode.Measured("x", noise=0.0)}}, "the noise of y is 0.0"),
        ({"starts": -1}, "starts is -1"),
    ],
)
def test_a_slip_is_a_sentence_with_a_next_step(options, said):
    with pytest.raises(ode.PdeError) as told:
        ode.trace(model(**options))
    assert said in str(told.value) and told.value.hint


def test_the_sentence_names_the_person_s_line():
    def rates(m):
        return [np.exp(m.x)]

    with pytest.raises(ode.PdeError, match=f"test_model.py:{rates.__code__.co_firstlineno + 1}: "):
        ode.trace(model(rates=rates))


def test_the_next_step_names_what_a_simulation_is_written_with():
    def hint_of(rates):
        with pytest.raises(ode.PdeError) as told:
            ode.trace(model(rates=rates))
        return told.value.hint

    assert "ode.sin" in hint_of(lambda m: [math.sqrt(m.x)]) and "pde" not in hint_of(lambda m: [math.sqrt(m.x)])
    assert "ode.where" in hint_of(lambda m: [1.0 if m.x > 0 else 2.0])
    assert "ode.exp" in hint_of(lambda m: [np.exp(m.x)])


def test_a_curve_goes_through_its_points_and_on():
    xs, ys = [0.0, 1.0, 3.0], [1.0, 3.0, 2.0]
    at = np.array([-1.0, 0.0, 0.5, 1.0, 2.0, 3.0, 5.0])
    np.testing.assert_allclose(ode.curve(at, xs, ys), [-1.0, 1.0, 2.0, 3.0, 2.5, 2.0, 1.0])
    assert ode.curve(constant(0.5), xs, ys).value == pytest.approx(2.0)
    with pytest.raises(ode.PdeError, match="ascending"):
        ode.curve(at, [1.0, 0.0], [0.0, 0.0])


def test_constants_are_logarithms_or_units_of_their_bounds():
    made, start = ode.trace(model(unknowns={"tau": 4.0}, states={"x": ode.Unknown(1.0, -2.0, 6.0, log=False)}))
    assert made.unknowns == ("tau", "x(0)")
    np.testing.assert_allclose(start, [math.log(4.0), 0.5], rtol=1e-6)
    np.testing.assert_allclose(made.values(start), [4.0, 1.0], rtol=1e-6)
    np.testing.assert_allclose(made.theta(np.array([9.0, -2.0])), [math.log(9.0), -1.0], rtol=1e-6)
    np.testing.assert_allclose(made.theta(np.array([1e9, 99.0])), [made.high[0], made.high[1]])


@pytest.mark.parametrize("name", SIMULATIONS)
def test_the_zoo_s_simulations_are_sound(name):
    made, start = ode.trace(SIMULATIONS[name]())
    assert made.inconsistency() == "" and (np.array(made.low) < start).all() and (start < np.array(made.high)).all()


# ---- logs -----------------------------------------------------------------------------------------------------------


def log_of(tmp_path, text: str, **options):
    path = tmp_path / "log.csv"
    path.write_text(text, encoding="utf-8")
    return read_log(path, ode.trace(model())[0], **{"hold_out": 0.0} | options)


def test_a_log_becomes_rows_with_times_gaps_and_held_out_ends(tmp_path):
    found = log_of(tmp_path, "time,u,y\n0,1,5\n2,1,\n3,2,6\n4.5,2,7\n5,1,8\n", hold_out=0.2)
    fitted, held, none = LogRow.fitted, LogRow.held_out, LogRow.unmeasured
    np.testing.assert_array_equal(
        found.rows, [[fitted, 0, 1, 5], [none, 2, 1, 0], [fitted, 1, 2, 6], [fitted, 1.5, 2, 7], [held, 0.5, 1, 8]]
    )


def test_dates_are_times_in_the_model_s_unit(tmp_path):
    text = "when,u,y\n2026-01-31 23:59:30,1,5\n2026-02-01 00:00:00,1,4\n2026-02-01 00:01:00,1,3\n"
    np.testing.assert_array_equal(log_of(tmp_path, text, time="when").rows[:, 1], [0, 30, 60])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("time,u\n0,1\n", "has no column `y`"),
        ("t,u,y\n0,1,1\n1,1,1\n2,1,1\n", "has no column `time`"),
        ("time,u,y\n0,1,1\n2,1,1\n1,1,1\n", "line 4 is not later"),
        ("time,u,y\n0,1,1\n1,,1\n2,1,1\n", "line 3 has no number in `u`"),
        ("time,u,y\n0,1,1\n1,1,1\n5000,1,1\n", "line 4 comes 4999 s after"),
        ("time,u,y\n0,1,1\n1,1,1\n", "2 measured rows to fit"),
        ("time,u,y\nmorning,1,1\nnoon,1,1\nnight,1,1\n", "neither numbers nor dates"),
        ("time,u,y\n0,1,1\n1,1,much\n2,1,1\n", "`much`, which is not a number"),
        ("time,u,y\n0,1,1\n1,1,1e39\n2,1,1\n", "that float32 cannot"),
    ],
)
def test_a_log_that_is_wrong_is_refused_by_its_line(tmp_path, text, said):
    with pytest.raises(DataError) as told:
        log_of(tmp_path, text)
    assert said in str(told.value) and told.value.hint


def test_a_missing_file_is_a_sentence(tmp_path):
    with pytest.raises(DataError, match="there is no file"):
        read_log(tmp_path / "none.csv", ode.trace(model())[0])
