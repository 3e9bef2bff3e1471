# SPDX-License-Identifier: MIT
"""Training runs: the same bits whether data stay or travel, whether a run is cut or not; damage is named and harmless."""

import errno

import numpy as np
import pytest
from bundles import STEPS, small_plan, write_bundle

from ttzo.exporter.operations.layer import PlanError
from ttzo.exporter.plan.train_defaults import default_phases
from ttzo.exporter.plan.training import Training
from ttzo.host_tools.data import data_set, whole_file
from ttzo.host_tools.data.whole_file import DiskError
from ttzo.host_tools.device import emulated_device
from ttzo.host_tools.device.device import open_device
from ttzo.host_tools.device.ports import LinkError
from ttzo.host_tools.device.python_device import serve
from ttzo.host_tools.reference.train.trainer import Trainer
from ttzo.host_tools.training import checkpoint, metrics, session
from ttzo.host_tools.training.checkpoint import CheckpointError
from ttzo.host_tools.training.checkpoint import Generation as G
from ttzo.host_tools.training.run import Interrupted, SessionError, run_settings
from ttzo.host_tools.training.session import train


@pytest.fixture
def bundle(tmp_path):
    return write_bundle(tmp_path / "bundle", small_plan())


@pytest.fixture
def rows(bundle):
    return data_set.load(bundle / "rows.npz", small_plan())


def trained(bundle, rows, folder, url="numpy:", **options):
    """One call of `train` on a fresh device: its result and the device's parameters."""
    with open_device(url, bundle) as device:
        return train(device, rows, folder, **options), device.parameters()


@pytest.fixture
def whole(bundle, rows, tmp_path):
    """Parameters of a run that was not interrupted, in the folder `whole`."""
    return trained(bundle, rows, tmp_path / "whole")[1]


def stop_at(step):
    def report(progress):
        if progress.step == step:
            raise KeyboardInterrupt

    return report


def test_data_that_stay_and_data_that_travel_give_the_same_bits(bundle, rows, tmp_path, monkeypatch, whole):
    resident, _ = trained(bundle, rows, tmp_path / "again")
    assert resident.resident
    monkeypatch.setattr(emulated_device, "DATASET_ROOM_BYTES", 0)
    run, parameters = trained(bundle, rows, tmp_path / "sent")
    assert not run.resident and np.array_equal(parameters, whole)


def test_a_data_set_larger_than_the_steps_will_use_is_not_sent(bundle, rows, tmp_path):
    run, _ = trained(bundle, rows, tmp_path / "run", changes={"steps": 5})
    assert not run.resident  # 5 steps of 4 rows, and 30 rows


@pytest.mark.parametrize("cut", [1, 5, STEPS - 1])
def test_a_run_that_was_stopped_ends_in_the_same_bits(bundle, rows, tmp_path, whole, cut):
    folder = tmp_path / "cut"
    with pytest.raises(Interrupted, match=f"holds step {cut} of {STEPS}") as caught:
        trained(bundle, rows, folder, report=stop_at(cut))
    assert caught.value.exit_code == 130
    run, parameters = trained(bundle, rows, folder)
    assert run.resumed_from == cut and np.array_equal(parameters, whole)


def test_a_run_that_was_killed_goes_on_from_its_last_checkpoint(bundle, rows, tmp_path, whole, monkeypatch):
    folder = tmp_path / "killed"
    with monkeypatch.context() as patch:  # killed: nothing is written any more
        patch.setattr(session._Session, "interrupted", lambda self: Interrupted("killed"))
        with pytest.raises(Interrupted):
            trained(bundle, rows, folder, report=stop_at(8), checkpoint_steps=3)
    run, parameters = trained(bundle, rows, folder)
    assert run.resumed_from == 6 and np.array_equal(parameters, whole)


def test_metrics_hold_every_step_once_with_the_same_numbers(bundle, rows, tmp_path, whole):
    folder = tmp_path / "cut"
    with pytest.raises(Interrupted):
        trained(bundle, rows, folder, report=stop_at(5))
    with (folder / "metrics.csv").open("a") as file:
        file.write("6,0,0.9")  # a line that was cut short
    trained(bundle, rows, folder)
    cut, one = (metrics.read(path / "metrics.csv") for path in (folder, tmp_path / "whole"))
    assert [row["step"] for row in cut] == list(range(1, STEPS + 1))
    for row in (*cut, *one):
        row.pop("seconds")
    assert cut == one


def test_a_finished_run_is_left_as_it_is_and_more_steps_go_on(bundle, rows, tmp_path, whole):
    run, parameters = trained(bundle, rows, tmp_path / "whole")
    assert run.resumed_from == STEPS and np.array_equal(parameters, whole)
    longer, _ = trained(bundle, rows, tmp_path / "whole", changes={"steps": STEPS + 3})
    assert (longer.resumed_from, longer.step) == (STEPS, STEPS + 3)


def test_restart_begins_anew(bundle, rows, tmp_path, whole):
    run, parameters = trained(bundle, rows, tmp_path / "whole", restart=True)
    assert run.resumed_from == 0 and np.array_equal(parameters, whole)
    assert len(metrics.read(tmp_path / "whole" / "metrics.csv")) == STEPS


def test_changes_are_recorded_and_kept_by_the_next_call(bundle, rows, tmp_path):
    folder = tmp_path / "run"
    wanted = {"steps": 6, "seed": 3, "lr": 0.125, "mu": (0.25,), "n_queries": (2,)}
    run, parameters = trained(bundle, rows, folder, changes=wanted)
    saved = checkpoint.load(folder / "checkpoint.npz", small_plan()).settings
    assert (saved.steps, saved.seed) == (6, 3)
    assert (saved.phases[0].learning_rate, saved.phases[0].perturb_radius, saved.phases[0].n_queries) == (
        0.125,
        0.25,
        2,
    )
    assert '"learning_rate": 0.125' in (folder / "metrics.csv").read_text()
    assert run.evaluations == 6 * 3
    with pytest.raises(Interrupted):
        trained(bundle, rows, tmp_path / "cut", changes=wanted, report=stop_at(2))
    assert np.array_equal(trained(bundle, rows, tmp_path / "cut")[1], parameters)


def test_two_values_for_one_phase_are_refused():
    with pytest.raises(PlanError, match="lr has 2 values for 1 phases"):
        run_settings(small_plan().training, {"lr": (1.0, 2.0)})


def test_what_is_fixed_at_export_cannot_be_changed_by_a_run():
    with pytest.raises(SessionError, match="estimator is fixed at export"):
        run_settings(small_plan().training, {"estimator": "cge"})
    newton = Training(default_phases("subspace_gn"))
    with pytest.raises(SessionError, match="n_queries is fixed"):
        run_settings(newton, {"n_queries": (8,)})


# ---- generations -----------------------------------------------------------------------------------------------------


class Remembering(Trainer):
    """A trainer that keeps what it held after each step."""

    def step(self, region):
        result = super().step(region)
        vars(self).setdefault("held", {})[self.state.step] = self.theta.copy()
        return result


def test_the_best_and_the_last_good_generation_are_those_of_the_lowest_and_a_near_loss(bundle, rows, tmp_path):
    trainer, folder = Remembering(small_plan()), tmp_path / "run"
    with serve(trainer, "numpy") as emulator, open_device(emulator.url, bundle) as device:
        train(device, rows, folder, changes={"lr": 0.4})
    losses = {row["step"]: row["validation_loss"] for row in metrics.read(folder / "metrics.csv")}
    best, good, last = (checkpoint.load(folder / each.value, small_plan()) for each in (G.best, G.good, G.last))
    lowest = min(losses, key=losses.get)
    near = [step for step in losses if losses[step] <= 2 * min(losses[k] for k in losses if k <= step)]
    assert (best.state.step, good.state.step, last.state.step) == (lowest, near[-1], STEPS)
    assert best.measured == pytest.approx(losses[lowest], rel=1e-8)  # nine digits in the file
    for each in (best, good, last):
        assert np.array_equal(each.parameters, trainer.held[each.state.step])


def test_a_run_goes_on_from_an_earlier_generation_to_the_same_bits(bundle, rows, tmp_path, whole):
    said, folder = [], tmp_path / "whole"
    (folder / "best.npz").write_bytes((folder / "checkpoint.npz").read_bytes())
    with pytest.raises(Interrupted):
        trained(bundle, rows, tmp_path / "cut", report=stop_at(5))
    (folder / "good.npz").write_bytes((tmp_path / "cut" / "checkpoint.npz").read_bytes())
    run, parameters = trained(bundle, rows, folder, generation=G.good, say=said.append)
    assert run.resumed_from == 5 and np.array_equal(parameters, whole)
    assert said == [f"metrics.csv: {STEPS - 5} steps after step 5 are dropped; they are done again"]
    assert len(metrics.read(folder / "metrics.csv")) == STEPS


def test_a_generation_that_is_not_there_is_named(bundle, rows, tmp_path):
    with pytest.raises(CheckpointError, match=r"no checkpoint .*best\.npz"):
        trained(bundle, rows, tmp_path / "run", generation=G.best)


def test_a_worse_start_does_not_replace_the_best_of_the_run(bundle, rows, tmp_path, whole):
    folder = tmp_path / "whole"
    best = (folder / "best.npz").read_bytes()
    step = checkpoint.load(folder / "best.npz", small_plan()).state.step
    assert step > 3
    with pytest.raises(Interrupted):
        trained(bundle, rows, tmp_path / "cut", report=stop_at(2))
    (folder / "checkpoint.npz").write_bytes((tmp_path / "cut" / "checkpoint.npz").read_bytes())
    with pytest.raises(Interrupted):
        trained(bundle, rows, folder, report=stop_at(3))
    assert (folder / "best.npz").read_bytes() == best
    trained(bundle, rows, folder, restart=True, changes={"lr": 1e-9})
    assert (folder / "best.npz").read_bytes() != best


def test_a_board_that_starts_anew_just_before_a_checkpoint_does_not_reach_it(bundle, rows, tmp_path):
    trainer, folder = Trainer(small_plan()), tmp_path / "reset"
    evaluate = trainer.evaluate

    def reset_in_step_10(*words):
        if trainer.state.step == 10:
            trainer.reset()
        return evaluate(*words)

    trainer.evaluate = reset_in_step_10
    with (
        serve(trainer, "numpy") as emulator,
        open_device(emulator.url, bundle) as device,
        pytest.raises(LinkError, match="started anew"),
    ):
        train(device, rows, folder, checkpoint_steps=5)
    assert [checkpoint.load(folder / each.value, small_plan()).state.step for each in (G.last, G.good)] == [5, 9]


# ---- what goes wrong -------------------------------------------------------------------------------------------------


def test_a_damaged_checkpoint_is_named_and_changes_nothing(bundle, rows, tmp_path, whole):
    path = tmp_path / "whole" / "checkpoint.npz"
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    places = [0, len(content) // 2, len(content) - 1, *rng.integers(0, len(content), 40)]
    with open_device("numpy:", bundle) as device:
        for damaged in [
            content[:-9],
            b"",
            b"no checkpoint",
            *(content[:k] + bytes([content[k] ^ 16]) + content[k + 1 :] for k in places),
        ]:
            path.write_bytes(damaged)
            try:
                train(device, rows, tmp_path / "whole")
            except CheckpointError as error:
                assert str(path) in str(error) and "--restart" in error.hint
                assert path.read_bytes() == damaged and device.state().step == 0
            else:  # a bit that no reader looks at, such as a date of the archive's
                assert np.array_equal(checkpoint.load(path, small_plan()).parameters, whole)
                device.reset()


def test_a_checkpoint_of_another_model_or_of_other_data_is_refused(bundle, rows, tmp_path, whole):
    other = write_bundle(tmp_path / "other", small_plan(seed=8))
    with pytest.raises(CheckpointError, match="another model"):
        trained(other, rows, tmp_path / "whole")
    x = rows.x_train.copy()
    x[0, 0] ^= 1
    changed = data_set.DataSet("changed", x, rows.y_train, rows.x_test, rows.y_test)
    with pytest.raises(SessionError, match="other data"):
        trained(bundle, changed, tmp_path / "whole")


def test_a_run_of_an_older_version_is_a_sentence(bundle, rows, tmp_path, monkeypatch):
    with monkeypatch.context() as older:
        older.setattr(checkpoint, "FORMAT", 1)
        trained(bundle, rows, tmp_path / "run")
    with pytest.raises(CheckpointError, match="another version of ttzo") as caught:
        trained(bundle, rows, tmp_path / "run")
    assert "export the model again" in caught.value.hint


def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one(bundle, rows, tmp_path, whole, monkeypatch):
    path = tmp_path / "whole" / "checkpoint.npz"
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(whole_file.os, "fsync", full)
    with pytest.raises(DiskError, match="No space left") as caught:
        trained(bundle, rows, tmp_path / "whole", changes={"steps": STEPS + 5})
    assert caught.value.exit_code == 7
    assert path.read_bytes() == before and sorted(p.name for p in path.parent.iterdir()) == [
        "answers.json",
        "best.npz",
        "checkpoint.npz",
        "data.json",
        "good.npz",
        "metrics.csv",
        "model.ttzo",
    ]


def test_a_second_process_is_kept_out_of_a_runs_folder_and_nothing_changes(bundle, rows, tmp_path):
    folder, said = tmp_path / "run", []

    def begin_another(progress):
        if progress.step == 3:
            before = (folder / "checkpoint.npz").read_bytes(), (folder / "metrics.csv").read_bytes()
            with pytest.raises(SessionError, match="another process is training") as caught:
                trained(bundle, rows, folder, restart=True)  # a lock knows no difference between us and a process
            said.append(caught.value.hint)
            assert ((folder / "checkpoint.npz").read_bytes(), (folder / "metrics.csv").read_bytes()) == before

    run, _ = trained(bundle, rows, folder, report=begin_another)
    assert "--run" in said[0] and len(metrics.read(folder / "metrics.csv")) == run.step == STEPS
    assert trained(bundle, rows, folder)[0].resumed_from == STEPS  # it is free again


def test_a_drive_that_knows_no_locks_is_trained_on_all_the_same(bundle, rows, tmp_path, monkeypatch):
    def unknown(*_):
        raise OSError(errno.EBADF, "Bad file descriptor")  # a network drive, of a folder

    monkeypatch.setattr(pytest.importorskip("fcntl"), "flock", unknown)
    assert trained(bundle, rows, tmp_path / "run")[0].step == STEPS


def test_a_disk_that_fills_up_in_mid_training_tells_how_to_go_on(bundle, rows, tmp_path, whole):
    folder = tmp_path / "full"
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(progress):
        if progress.step == 7:  # no file may grow, as on a full disk
            size = (folder / "metrics.csv").stat().st_size
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + 5, before[1]))

    try:
        with pytest.raises(DiskError, match="metrics.csv cannot be written") as caught:
            trained(bundle, rows, folder, report=fill, checkpoint_steps=5)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "free some space" in caught.value.hint and "holds step 5: the same command goes on" in caught.value.hint
    run, parameters = trained(bundle, rows, folder)
    assert run.resumed_from == 5 and np.array_equal(parameters, whole)
    assert [row["step"] for row in metrics.read(folder / "metrics.csv")] == list(range(1, STEPS + 1))


def test_who_began_anew_is_told_to_go_on_without_that_word(bundle, rows, tmp_path, whole):
    with pytest.raises(Interrupted) as caught:
        trained(bundle, rows, tmp_path / "whole", restart=True, report=stop_at(5))
    assert caught.value.hint == "the same command without --restart goes on from there"


def test_a_pulled_cable_tells_how_to_go_on_and_the_run_does(bundle, rows, tmp_path, whole):
    folder, emulator = tmp_path / "pulled", serve(Trainer(small_plan()), "numpy")

    def pull(progress):
        if progress.step == 7:
            emulator.close()

    with open_device(emulator.url, bundle) as device, pytest.raises(LinkError) as caught:
        train(device, rows, folder, report=pull, checkpoint_steps=5)
    assert "holds step 5" in caught.value.hint and "goes on from there" in caught.value.hint
    run, parameters = trained(bundle, rows, folder)
    assert run.resumed_from == 5 and np.array_equal(parameters, whole)


def test_a_board_that_starts_anew_in_mid_training_is_noticed(bundle, rows, tmp_path, whole):
    trainer, folder = Trainer(small_plan()), tmp_path / "reset"

    def brown_out(progress):
        if progress.step == 7:
            trainer.reset()

    with (
        serve(trainer, "numpy") as emulator,
        open_device(emulator.url, bundle) as device,
        pytest.raises(LinkError, match="was restarted") as caught,
    ):
        train(device, rows, folder, report=brown_out, checkpoint_steps=5)
    assert "holds step 5" in caught.value.hint
    assert np.array_equal(trained(bundle, rows, folder)[1], whole)


def test_a_setting_out_of_range_is_refused_before_the_folder_is_made(bundle, rows, tmp_path):
    with pytest.raises(PlanError, match="n_queries is 0"):
        trained(bundle, rows, tmp_path / "run", changes={"n_queries": (0,)})
    assert not (tmp_path / "run").exists()


def test_a_folder_that_cannot_be_written_is_a_sentence(bundle, rows, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SessionError, match="cannot be written"):
        trained(bundle, rows, tmp_path / "file" / "run")


def test_a_metrics_file_that_is_none_is_named(tmp_path):
    (tmp_path / "metrics.csv").write_text("a,b\n1,2\n")
    with pytest.raises(metrics.MetricsError, match="not a metrics file"):
        metrics.read(tmp_path / "metrics.csv")
