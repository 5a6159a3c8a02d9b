"""What pyannote.audio and lightning import for training, scoring and drawing, imported only once something uses it.

No stage uses any of `UNUSED`, and importing it is more than half of what an engine needs to start. While the engine's
modules are imported, stand-ins take its place, which do what lazy imports are to do in Python (PEP 810): `import a`
and `from a import b` give promises, and a promise that is used (called, subclassed, looked into, tested against)
imports the module as any code would, and is what it promises. No library is changed for it.

Afterwards the stand-ins are known to none but the modules that imported them, and an import that comes later is an
ordinary one. So threads may meet at a promise as they may at an import.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any, Union

UNUSED = (
    # training
    "lightning.fabric.wrappers",  # these three bring torch._dynamo, and that SymPy
    "lightning.pytorch.trainer.connectors.logger_connector.result",
    "lightning.pytorch.utilities.compile",
    "optuna",
    "pyannote.pipeline.optimizer",
    "torch_audiomentations",
    # scoring
    "pyannote.audio.core.calibration",  # scikit-learn's isotonic regression
    "scipy.signal",
    "scipy.stats",
    "sklearn",  # clusters only where the number of speakers is given and VBx has found another
    "torchmetrics",  # brings transformers, torchvision and matplotlib
    # tables and drawings
    "matplotlib",
    "networkx",
    "pandas",
    "pyannote.core.notebook",
)
"""Modules, each with all that it holds."""

PROBES = ("__parameters__", "__typing")
"""How names begin by which `typing` asks whether a class in an annotation is a generic one: no promise is."""
USED_AT_ONCE = ("Error", "Exception", "Warning")
"""How classes end that are named in `except` and in filters of warnings, where only a class will do."""


@contextmanager
def deferred(modules: Sequence[str] = UNUSED) -> Iterator[None]:
    """Import none of `modules` here until it is used, then or later. No other thread may import anything meanwhile."""
    deferral = _Deferral(modules)
    sys.meta_path.insert(0, deferral)
    try:
        yield
    finally:
        sys.meta_path.remove(deferral)
        deferral.end()


class _Deferral(MetaPathFinder, Loader):
    """Finds a stand-in for each of some modules that are installed."""

    def __init__(self, modules: Sequence[str]) -> None:
        self._modules = set(modules)
        self._ending = threading.Lock()

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return where the stand-in for a module comes from; None where there is to be none."""
        if self._over(name) is None or (real := PathFinder.find_spec(name, path, target)) is None:
            return None
        spec = ModuleSpec(name, self, origin=real.origin)
        spec.submodule_search_locations = real.submodule_search_locations
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Make the stand-in."""
        return _StandIn(spec.name, self)

    def exec_module(self, module: ModuleType) -> None:
        """Run nothing: that is what is put off."""

    def end(self, name: str | None = None) -> None:
        """Have nothing stand in any longer for the module `name` and what it belongs to; for none at all where None."""
        with self._ending:  # threads may come here at once, and import what another has just done with
            self._modules -= {self._over(name)} if name else self._modules
            for known, module in sys.modules.copy().items():
                if isinstance(module, _StandIn) and self._over(known) is None:
                    del sys.modules[known]

    def _over(self, name: str) -> str | None:
        """Return the deferred module that `name` is, or is in."""
        return next((module for module in self._modules if f"{name}.".startswith(f"{module}.")), None)


class _StandIn(ModuleType):
    """Stands in for a module: what is asked of it is promised."""

    def __init__(self, name: str, deferral: _Deferral) -> None:
        super().__init__(name)
        self.__deferral = deferral

    def __getattr__(self, name: str) -> Any:
        if name == "__version__":
            try:
                return version(self.__name__)
            except PackageNotFoundError:  # it is distributed under another name
                return self.really(name)
        if name.startswith("__"):  # what the machinery of imports looks for
            raise AttributeError(name)
        if name.endswith(USED_AT_ONCE):
            return self.really(name)
        return _Promise(self, name)

    def really(self, name: str) -> Any:
        """Import the module itself and return what it calls `name`, which may be a module in it."""
        self.__deferral.end(self.__name__)
        module = importlib.import_module(self.__name__)
        try:
            return getattr(module, name)
        except AttributeError:
            return importlib.import_module(f"{self.__name__}.{name}")


class _Promise:
    """Something of a module that is not imported yet. Whatever is done with it is done with the thing itself."""

    def __init__(self, module: _StandIn, name: str) -> None:
        self.__module, self.__name = module, name

    def __itself(self) -> Any:
        return self.__module.really(self.__name)

    def __getattr__(self, name: str) -> Any:
        if name.startswith(PROBES):
            raise AttributeError(name)
        return getattr(self.__itself(), name)

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self.__itself()(*args, **options)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[Any, ...]:
        return (self.__itself(),)

    def __instancecheck__(self, some: object) -> bool:
        return isinstance(some, self.__itself())

    def __subclasscheck__(self, some: type) -> bool:
        return issubclass(some, self.__itself())

    def __getitem__(self, key: Any) -> Any:
        return self.__itself()[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.__itself())

    def __len__(self) -> int:
        return len(self.__itself())

    def __bool__(self) -> bool:
        return bool(self.__itself())

    def __or__(self, other: Any) -> Any:
        return Union[self, other]  # in an annotation, which is no use

    def __ror__(self, other: Any) -> Any:
        return Union[other, self]
