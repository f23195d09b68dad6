"""The architecture: who may import whom. The rules are the data below; the tests read every module's source.

An import counts wherever it stands: at the top, inside a function, or for type checkers alone.
"""

from __future__ import annotations

import ast
import graphlib
import importlib.util
import sys
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

REPOSITORY = Path(__file__).resolve().parent.parent
HOST, PLUGINS, THUNDERBIRD = "archipec", "archipec_plugins", "archipec_thunderbird"

# The layers of the host, from the ground up. A module imports from its own part and from the layers below it.
LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"language", "masking"}),
    frozenset({"message", "paths", "xml"}),
    frozenset({"errors", "durability"}),
    frozenset({"new_files"}),
    frozenset({"options", "pec", "sqlite_file", "crc_lines", "supervision"}),
    frozenset({"contract", "inventory", "simulator", "terminal"}),
    frozenset({"hookspecs", "schedule", "timestamp"}),
    frozenset({"conservation", "plugins"}),
    frozenset({"config"}),
    frozenset({"custody"}),
    frozenset({"index"}),
    frozenset({"report"}),
    frozenset({"view"}),
    frozenset({"cli", "testing"}),
    frozenset({"__main__"}),
)

# What some parts may import of the host, however low it stands.
LIMITS: dict[str, frozenset[str]] = {
    "durability": frozenset({"language"}),
    "language": frozenset(),
    "terminal": frozenset({"errors", "language", "options"}),
    "paths": frozenset(),
    "xml": frozenset(),
    "pec": frozenset({"pec", "durability", "errors", "language", "message", "new_files", "paths", "xml"}),
    "conservation": frozenset(
        {
            "conservation",
            "contract",
            "durability",
            "errors",
            "language",
            "masking",
            "message",
            "pec",
            "sqlite_file",
            "supervision",
            "timestamp",
            "xml",
        }
    ),
}
# `inventory` and `crc_lines` are formats that the host reads too, and so does any archive that keeps a record of its own;
# `paths` and `xml` keep hostile names and documents out, which must not be written a second time in each plugin; what a
# person reads goes through `language`, whoever says it.
FOR_PLUGINS = frozenset(
    {
        *("contract", "errors", "message", "hookspecs", "pec", "conservation", "durability", "timestamp"),
        *("crc_lines", "inventory", "language", "paths", "xml"),
    },
)
# The tool gives the same verdict on a seal as archipec, and the same kind of error, because it is the same code; it has
# its sentences in the same catalog, because the two are one distribution.
FOR_THE_TOOL = ("durability", "errors", "language", "paths", "pec", "config.providers", "terminal")
# The plugins that know Thunderbird's profiles by the tool.
CALL_THE_TOOL = (f"{PLUGINS}.thunderbird",)

# The layers of the built-in plugins, from the ground up: what formats share, formats, formats of formats, all formats.
PLUGIN_LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"files", "net", "quota", "report"}),
    frozenset({"eml", "maildir", "mbox", "imap", "pop3", "conservation"}),
    frozenset({"zip", "thunderbird"}),
    frozenset({"dump"}),
)

# Third-party packages that one part alone may import.
RESERVED: dict[str, str] = {
    "pytest": f"{HOST}.testing",
    "_pytest": f"{HOST}.testing",
    "hypothesis": f"{HOST}.testing",
}

# Extras, each of which the parts of its name alone may import.
EXTRAS = ("conservation", "report", "view")

LONGEST_MODULE, LONGEST_FUNCTION = 600, 70  # lines
SHORTEST_MODULE = 40  # lines, where one module alone imports it
# module: why it stands by itself
SMALL_ON_PURPOSE: dict[str, str] = {}
CLONE = 12  # lines of code that are equal in two places


@cache
def modules() -> dict[str, Path]:
    """Return the file of every module of the three packages, wherever they are installed."""
    found: dict[str, Path] = {}
    for package in (HOST, PLUGINS, THUNDERBIRD):
        spec = importlib.util.find_spec(package)
        assert spec is not None and spec.submodule_search_locations, f"{package} is not installed"
        root = Path(spec.submodule_search_locations[0])
        for file in root.rglob("*.py"):
            parts = (package, *file.relative_to(root).with_suffix("").parts)
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


@cache
def imports_of(module: str) -> frozenset[str]:
    """Return the full names of what a module imports."""
    file = modules()[module]
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    return frozenset(imported(file.read_text("utf-8"), package, frozenset(modules())))


@cache
def needs_of(module: str) -> frozenset[str]:
    """Return the full names of what a module imports, and of what it has imported for it by `deferred`.

    That is no import where circles are looked for: a package is always imported before what is in it.
    """
    return imports_of(module) | frozenset(deferred(modules()[module].read_text("utf-8")))


def deferred(source: str) -> Iterator[str]:
    """Yield the modules that a source text names in calls of ``deferred``."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Name(id="deferred"), args=[ast.Constant(value=str(target))]):
                yield target.partition(":")[0]


def imported(source: str, package: str, known: frozenset[str]) -> Iterator[str]:
    """Yield the full names of what a source text imports.

    Args:
        package: that relative imports start from.
        known: names of modules: ``from a import b`` imports ``a.b`` when that is one, else ``a``.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                whole = f"{origin}.{alias.name}"
                yield whole if whole in known else origin


def part_of(module: str) -> str:
    """Return the part of the host that a module belongs to; an empty string for the package itself."""
    return module.split(".")[1] if "." in module else ""


def layer_of(part: str) -> int:
    """Return how high a part of the host stands; the package itself, which has the version, is the ground."""
    return next((height for height, parts in enumerate(LAYERS) if part in parts), 0 if part == "" else -1)


def is_in(module: str, package: str) -> bool:
    """Tell whether a module is a package or inside it."""
    return f"{module}.".startswith(f"{package}.")


def child_of(folder: str, module: str) -> str:
    """Return what lies in a folder and is a module or has it inside."""
    return module.removeprefix(f"{folder}.").split(".")[0]


def host_modules() -> list[str]:
    """Return the modules of the host."""
    return [module for module in modules() if is_in(module, HOST)]


def test_every_part_of_the_host_has_a_layer() -> None:
    unknown = {part_of(module) for module in host_modules() if layer_of(part_of(module)) < 0}
    assert not unknown, f"say in LAYERS where these belong: {sorted(unknown)}"


def test_imports_never_run_upward() -> None:
    upward = [
        f"{module} imports {name}"
        for module in host_modules()
        for name in imports_of(module)
        if is_in(name, HOST)
        and part_of(name) not in ("", part_of(module))
        and layer_of(part_of(name)) >= layer_of(part_of(module))
    ]
    assert not upward, sorted(upward)


def test_some_parts_know_even_less() -> None:
    beyond = [
        f"{module} imports {name}"
        for module in host_modules()
        if part_of(module) in LIMITS
        for name in imports_of(module)
        if is_in(name, HOST) and part_of(name) not in LIMITS[part_of(module)]
    ]
    assert not beyond, sorted(beyond)


def test_there_are_no_circles_of_modules() -> None:
    graph = {module: {name for name in imports_of(module) if name in modules()} for module in modules()}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])), pytrace=False)


def test_there_are_no_circles_of_folders() -> None:
    """What lies in one folder, modules and folders alike, can be learned one after the other."""
    for folder in {module.rpartition(".")[0] for module in modules()} - {""}:
        graph: dict[str, set[str]] = {}
        for module in modules():
            for name in imports_of(module):
                if is_in(module, folder) and is_in(name, folder) and folder not in (module, name):
                    graph.setdefault(child_of(folder, module), set()).add(child_of(folder, name))
        for child, below in graph.items():
            below.discard(child)
        try:
            graphlib.TopologicalSorter(graph).prepare()
        except graphlib.CycleError as error:
            pytest.fail(f"in {folder}: " + " imports ".join(reversed(error.args[1])), pytrace=False)


def test_the_host_imports_no_plugin() -> None:
    guilty = [
        f"{module} imports {name}"
        for module in host_modules()
        for name in imports_of(module)
        if is_in(name, PLUGINS) or is_in(name, THUNDERBIRD)
    ]
    assert not guilty, sorted(guilty)


def test_plugins_import_what_strangers_may() -> None:
    guilty = [
        f"{module} imports {name}"
        for module in modules()
        if is_in(module, PLUGINS)
        for name in needs_of(module)
        if (is_in(name, HOST) and part_of(name) not in FOR_PLUGINS)
        or (is_in(name, THUNDERBIRD) and not any(is_in(module, caller) for caller in CALL_THE_TOOL))
    ]
    assert not guilty, sorted(guilty)


def test_a_plugin_imports_only_from_the_layers_below_it() -> None:
    layers = {part: height for height, parts in enumerate(PLUGIN_LAYERS) for part in parts}
    inside = [module for module in modules() if is_in(module, PLUGINS) and part_of(module)]
    unknown = {part_of(module) for module in inside} - set(layers)
    assert not unknown, f"say in PLUGIN_LAYERS where these belong: {sorted(unknown)}"
    guilty = [
        f"{module} imports {name}"
        for module in inside
        for name in needs_of(module)
        if is_in(name, PLUGINS)
        and part_of(name) != part_of(module)
        and layers[part_of(name)] >= layers[part_of(module)]
    ]
    assert not guilty, sorted(guilty)


def test_the_thunderbird_tool_knows_nothing_of_archives() -> None:
    guilty = [
        f"{module} imports {name}"
        for module in modules()
        if is_in(module, THUNDERBIRD)
        for name in imports_of(module)
        if (is_in(name, HOST) and not any(is_in(name, f"{HOST}.{part}") for part in FOR_THE_TOOL))
        or is_in(name, PLUGINS)
    ]
    assert not guilty, sorted(guilty)


def test_test_tools_stay_in_the_kit() -> None:
    guilty = [
        f"{module} imports {name}"
        for module in modules()
        for name in imports_of(module)
        for tool, owner in RESERVED.items()
        if is_in(name, tool) and not is_in(module, owner)
    ]
    assert not guilty, sorted(guilty)


def test_tls_is_verified_always() -> None:
    for module, path in modules().items():
        tree = ast.walk(ast.parse(path.read_text("utf-8")))
        named = {node.attr for node in tree if isinstance(node, ast.Attribute)}
        assert not named & {"CERT_NONE", "check_hostname", "_create_unverified_context"}, module


def test_nothing_is_imported_by_the_name_of_a_folder() -> None:
    folders = ("core", "plugins", "thunderbird_profile_tool", "tests")
    guilty = [
        f"{module} imports {name}"
        for module in modules()
        for name in imports_of(module)
        if any(is_in(name, folder) for folder in folders)
    ]
    assert not guilty, sorted(guilty)


def test_the_default_install_is_what_is_imported() -> None:
    """A dependency that nothing imports costs every user; an import that only an extra brings fails for most."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    distributions = {name: {one.lower() for one in found} for name, found in packages_distributions().items()}
    default = {Requirement(one).name.lower() for one in project["dependencies"]}
    extras = {
        part: {Requirement(one).name.lower() for one in project["optional-dependencies"][part]}
        for part in EXTRAS
    }
    # Types for type checkers alone, and what the kit asks of who tests a plugin.
    known = {module.partition(".")[0] for module in modules()} | {"_typeshed", "pytest"}
    used = set()
    for module in modules():
        for name in {one.partition(".")[0] for one in imports_of(module)} - known - sys.stdlib_module_names:
            used |= distributions[name]
            parts = module.split(".")
            allowed = default.union(*(packages for part, packages in extras.items() if part in parts))
            assert distributions[name] <= allowed, (module, name)
    assert default - used <= {"tzdata"}  # which zoneinfo reads where the system has none


def test_what_ci_installs_is_what_the_package_asks_for() -> None:
    """A venv made earlier hides that they conflict; a fresh clone then can't be set up at all."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"].values()
    asked = [*project["project"]["dependencies"], *(item for extra in extras for item in extra)]
    asked += [*project["dependency-groups"]["dev"], *project["build-system"]["requires"]]
    lines = (REPOSITORY / ".ci/constraints.txt").read_text().splitlines()
    pinned = {
        pin.name.lower(): pin
        for pin in map(Requirement, (line for line in lines if not line.startswith("#")))
    }
    for requirement in map(Requirement, asked):
        if pin := pinned.get(requirement.name.lower()):
            assert all(requirement.specifier.contains(exact.version) for exact in pin.specifier), (
                requirement,
                pin,
            )


def test_no_code_stands_twice() -> None:
    """What is the same in two places is mended in one of them alone."""
    sources = {module: path.read_text("utf-8") for module, path in sorted(modules().items())}
    assert not (twice := list(clones(sources))), twice


def test_code_that_stands_twice_is_found() -> None:
    body = "\n".join(f"    value += {number}" for number in range(CLONE))
    first, second = f"def one(value):\n{body}\n", f"# another\ndef two(value):\n\n{body}\n    return value\n"
    assert list(clones({"a": first, "b": second})) == ["a:2 and b:4"]
    assert not list(clones({"a": first, "b": second.replace("value += 5", "value += 50")}))


def clones(sources: Mapping[str, str]) -> Iterator[str]:
    """Yield where runs of equal lines begin in the second place, with the first one."""
    seen: dict[tuple[str, ...], str] = {}
    for module, source in sources.items():
        lines = code_lines(source)
        inside = False
        for start in range(len(lines) - CLONE + 1):
            here = f"{module}:{lines[start][0]}"
            first = seen.setdefault(tuple(text for _, text in lines[start : start + CLONE]), here)
            if first != here and not inside:
                yield f"{first} and {here}"
            inside = first != here


def code_lines(source: str) -> list[tuple[int, str]]:
    """Return the lines of a source text with their numbers, without blank ones, comments, docstrings and imports."""
    tree = ast.parse(source)
    left_out: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom) or (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        ):
            left_out.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return [
        (number, line.strip())
        for number, line in enumerate(source.splitlines(), 1)
        if number not in left_out and line.strip() and not line.strip().startswith("#")
    ]


def test_a_public_class_has_a_name_of_its_own() -> None:
    """One word means one thing: whoever reads or looks for it finds one class."""
    owners: dict[str, set[str]] = {}
    for module, file in modules().items():
        for node in ast.parse(file.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                owners.setdefault(node.name, set()).add(module)
    shared = {name: sorted(found) for name, found in owners.items() if len(found) > 1}
    assert not shared, shared


def test_a_small_module_with_one_user_is_part_of_it() -> None:
    """Each module has a reason to exist that one sentence says: to be a piece of another is none."""
    users: dict[str, set[str]] = {module: set() for module in modules()}
    for module in modules():
        for name in imports_of(module) & users.keys():
            users[name].add(module)
    small = {
        module: sorted(users[module])
        for module, path in modules().items()
        if path.name != "__init__.py" and len(path.read_text("utf-8").splitlines()) < SHORTEST_MODULE
    }
    alone = {
        module: found for module, found in small.items() if len(found) == 1 and module not in SMALL_ON_PURPOSE
    }
    assert not alone, alone


def test_modules_and_functions_stay_readable() -> None:
    long = []
    for module, file in modules().items():
        source = file.read_text("utf-8")
        lines = len(source.splitlines())
        if lines > LONGEST_MODULE:
            long.append(f"{module} has {lines} lines")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > LONGEST_FUNCTION:
                    long.append(f"{module}.{node.name} has {lines} lines")
    assert not long, sorted(long)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import a.b, c", {"a.b", "c"}),
        ("from a import b, x", {"a.b", "a"}),
        ("from a.b import x", {"a.b"}),
        ("from . import m", {"p.q.m"}),
        ("from .m import x", {"p.q.m"}),
        ("from .. import n", {"p.n"}),
        ("from ..n import x as y", {"p.n"}),
        ("def f():\n    if 1:\n        import a", {"a"}),
        ("if TYPE_CHECKING:\n    from a import b", {"a.b"}),
        ("x = 'import a'  # import b", set()),
    ],
)
def test_imports_are_found(source: str, found: set[str]) -> None:
    """The rules are worth what their reader is."""
    known = frozenset({"a", "a.b", "p.q.m", "p.n"})
    assert set(imported(source, "p.q", known)) == found


def test_what_is_opened_later_is_found() -> None:
    opened = [
        target
        for module in modules()
        if is_in(module, PLUGINS)
        for target in needs_of(module) - imports_of(module)
    ]
    assert f"{PLUGINS}.mbox.source" in opened
    assert set(deferred('x = deferred("a.b:c")\ny = "deferred(\'d.e:f\')"')) == {"a.b"}
    assert not [target for target in opened if target not in modules()]


def test_this_test_sees_the_packages() -> None:
    """The rules hold for nothing if nothing is read."""
    assert {HOST, PLUGINS, THUNDERBIRD, f"{HOST}.contract", f"{HOST}.testing.sink"} <= modules().keys()
    assert f"{HOST}.errors" in imports_of(f"{HOST}.contract")
    assert layer_of("errors") < layer_of("contract") < layer_of("custody") < layer_of("cli")
