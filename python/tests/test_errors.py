from __future__ import annotations

import builtins
import copy
import pickle
import sys
import tomllib
from pathlib import Path

import pytest

import fencelock
from fencelock import _native, errors

ERRORS_TOML = Path(__file__).parents[2] / "conformance" / "errors.toml"
CLASSES = errors.FencelockError.__subclasses__()


def test_every_kind_of_the_core_has_its_class() -> None:
    assert {(cls.code, cls.kind) for cls in CLASSES} == set(_native.error_kinds())
    assert {reason.value for reason in errors.LossReason} == set(_native.loss_reasons())
    for code, kind in _native.error_kinds():
        made = _native.make_error(code, "what", "n", True, True, "forked")
        assert (type(made).code, type(made).kind, str(made)) == (code, kind, "what")
        assert (made.lock, made.retryable, made.ambiguous) == ("n", True, True)
        assert made.reason is errors.LossReason.FORKED


def test_no_python_code_runs_while_rust_makes_an_error() -> None:
    # A daemon thread that runs any when the interpreter exits would abort the process.
    called: list[str] = []
    before = sys.getprofile()
    sys.setprofile(lambda frame, event, _: called.append(f"{event} {frame.f_code.co_name}"))
    made = [_native.make_error(cls.code, "w", None, False, False, None) for cls in CLASSES]
    sys.setprofile(before)
    here = "test_no_python_code_runs_while_rust_makes_an_error"
    foreign = [call for call in called if "call " in call and here not in call]
    assert [call for call in foreign if "listcomp" not in call] == []
    assert [type(error) for error in made] == CLASSES


def test_the_classes_are_those_of_the_common_list() -> None:
    listed = tomllib.loads(ERRORS_TOML.read_text())["kind"]
    assert {name: kind["code"] for name, kind in listed.items()} == {
        cls.kind: cls.code for cls in CLASSES
    }
    for kind in listed.values():
        cls = getattr(fencelock, kind["python"])
        assert cls.code == kind["code"]
        if also := kind.get("python_also"):
            assert issubclass(cls, getattr(builtins, also))


def test_every_class_is_exported() -> None:
    classes: list[type] = [errors.FencelockError, *CLASSES, errors.LossReason]
    for cls in classes:
        assert getattr(fencelock, cls.__name__) is cls
        assert cls.__name__ in fencelock.__all__


@pytest.mark.parametrize(
    ("cls", "base"),
    [
        (fencelock.AcquireTimeoutError, TimeoutError),
        (fencelock.WouldDeadlockError, RuntimeError),
        (fencelock.UnavailableError, ConnectionError),
        (fencelock.InvalidArgumentError, ValueError),
    ],
)
def test_some_are_what_python_has_for_the_case(
    cls: type[fencelock.FencelockError], base: type[Exception]
) -> None:
    with pytest.raises(base, match=r"^what$"):
        raise cls("what", lock="n")


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("copied", [copy.copy, lambda it: pickle.loads(pickle.dumps(it))])
def test_exceptions_pickle_with_all_attributes(
    cls: type[fencelock.FencelockError], copied: object
) -> None:
    assert callable(copied)
    error = cls(
        "what",
        lock="n",
        retryable=True,
        ambiguous=True,
        reason=fencelock.LossReason.EXPIRED,
    )
    error.add_note("a note")
    twin = copied(error)
    assert type(twin) is cls
    assert str(twin) == "what"
    assert vars(twin) == vars(error)
    assert twin.__notes__ == ["a note"]


def test_clients_locks_and_leases_refuse_pickling(client: fencelock.Client, name: str) -> None:
    with client.lock(name) as lease:
        for thing in (client, client.lock(name), lease):
            with pytest.raises(TypeError, match="can't be pickled"):
                pickle.dumps(thing)
            with pytest.raises(TypeError):
                copy.copy(thing)
