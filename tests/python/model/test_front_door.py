import ast
import importlib
import pkgutil
from pathlib import Path

import arvo_plpg


def test_all_names_are_there_once_and_documented():
    assert len(set(arvo_plpg.__all__)) == len(arvo_plpg.__all__)
    for name in arvo_plpg.__all__:
        thing = getattr(arvo_plpg, name)
        if isinstance(thing, type) or callable(thing):
            assert thing.__doc__ or not isinstance(thing, type), name


def test_the_names_that_the_design_fixes():
    fixed = {
        "ArvoEvent", "create_arvo_event", "ArvoOrchestrationSubject", "create_arvo_contract",
        "create_simple_arvo_contract", "create_arvo_orchestrator_contract",
        "create_arvo_event_factory", "create_arvo_event_handler", "create_arvo_resumable",
        "create_arvo_orchestrator", "ArvoDomain", "ViolationError",
    }  # fmt: skip
    assert fixed <= set(arvo_plpg.__all__)
    for method in ("new", "from_parent", "create", "parse", "is_valid"):
        assert callable(getattr(arvo_plpg.ArvoOrchestrationSubject, method))


def test_everything_imported_at_the_front_door_is_exported():
    tree = ast.parse(Path(arvo_plpg.__file__).read_text(encoding="utf-8"))
    imported = {
        name.asname or name.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }
    assert imported == set(arvo_plpg.__all__)


def test_every_module_of_the_model_can_be_imported_alone():
    for package in ("arvo_plpg.handlers", "arvo_plpg.demo"):
        path = importlib.import_module(package).__path__
        for module in pkgutil.iter_modules(path, f"{package}."):
            assert importlib.import_module(module.name).__doc__
