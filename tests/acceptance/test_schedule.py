"""``archipec schedule``: what each system is told, as that system reads it; and what is told does run."""

from __future__ import annotations

import os
import plistlib
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from lxml import etree  # type: ignore[import-untyped]

from archipec.schedule.formats import systemd_service
from testbed.boxes import Boxes, block
from testbed.command import Archipec, Result
from testbed.scripted_imap import a_message

FORMAT = Path(__file__).with_name("windows-task.xsd")


@pytest.fixture
def boxes(tmp_path: Path) -> Boxes:
    """An office in a folder whose name every shell would take apart."""
    folder = tmp_path / 'l\'ufficio è 100% "PEC" $HOME'
    (folder / "mail").mkdir(parents=True)
    (folder / "mail" / "1.eml").write_bytes(a_message(1))
    env = {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder / "config"), "PATH": os.environ["PATH"]}
    made = Boxes(Archipec(folder / "state", env), folder / "config" / "archipec" / "archipec.toml")
    made.path.parent.mkdir(parents=True)
    source = f'type = "eml"\npath = {toml(folder / "mail")}'
    made.write(block("studio", source, Path("PEC")))
    return made


def toml(path: Path) -> str:
    return "'''" + str(path) + "'''"


def printed(boxes: Boxes, system: str, every: str = "night", *options: object) -> str:
    return boxes("schedule", "--system", system, "--every", every, "--print", *options).out


def runs_and_archives(boxes: Boxes, command: list[str]) -> None:
    done = subprocess.run(
        command, env=boxes.archipec.env, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert boxes("status", "--json").object["stored"] == 1
    assert "ended with exit code 0" in (boxes.archipec.state / "archipec.log").read_text("utf-8")


# -- systemd ---------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here")
@pytest.mark.parametrize(
    ("every", "first"),
    [
        ("night", "*-*-* 02:30:00"),
        ("hour", "*-*-* *:10:00"),
        ("0 7,13,19 * * mon-fri", "Mon,Tue,Wed,Thu,Fri *-*-* 07,13,19:00:00"),
        ("*/15 8-18/2 1 jan,jul *", "*-01,07-01 08,10,12,14,16,18:00,15,30,45:00"),
    ],
)
def test_units_are_what_systemd_reads(boxes: Boxes, tmp_path: Path, every: str, first: str) -> None:
    text = printed(boxes, "systemd", every, "--jobs", 4)
    made = "# Made by archipec schedule for file:"
    _, service, timer = text.split(made)
    unit = tmp_path / "units"
    unit.mkdir()
    (unit / "archipec.service").write_text(made + service)
    (unit / "archipec.timer").write_text(made + timer)
    env = {**os.environ, "SYSTEMD_UNIT_PATH": f"{unit}:"}
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit / "archipec.service", unit / "archipec.timer"],
        env=env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    said = [line for line in verified.stderr.splitlines() if "archipec" in line]
    assert not said and verified.returncode == 0, verified.stderr
    events = [
        line.removeprefix("OnCalendar=") for line in timer.splitlines() if line.startswith("OnCalendar")
    ]
    assert events[0] == first
    for event in events:
        subprocess.run(["systemd-analyze", "calendar", event], check=True, capture_output=True, timeout=60)
    assert "--jobs 4" in service


def test_a_day_or_a_weekday_are_two_events(boxes: Boxes) -> None:
    timer = printed(boxes, "systemd", "0 3 1 * sun")
    assert "OnCalendar=*-*-01 03:00:00\nOnCalendar=Sun *-*-* 03:00:00\n" in timer


def test_the_command_of_the_unit_runs(boxes: Boxes) -> None:
    """Read back by systemd's rules: quotes, doubled dollars and percent signs."""
    service = printed(boxes, "systemd")
    (line,) = [one for one in service.splitlines() if one.startswith("ExecStart=")]
    words = shlex.split(line.removeprefix("ExecStart="))
    words = [word.replace("$$", "$").replace("%%", "%") for word in words]
    runs_and_archives(boxes, words)


def fake(folder: Path, name: str, script: str) -> None:
    program = folder / name
    program.write_text(f"#!{sys.executable}\nimport sys, pathlib\n{script}")
    program.chmod(0o755)


@pytest.mark.skipif(sys.platform != "linux", reason="of Linux")
def test_a_timer_is_installed_shown_and_removed(boxes: Boxes, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    said = tmp_path / "said"
    fake(programs, "systemctl", f"open({str(said)!r}, 'a').write(' '.join(sys.argv[1:]) + '\\n')\n")
    boxes.archipec.env["PATH"] = f"{programs}:{os.environ['PATH']}"
    assert "nothing is installed" in boxes("schedule").out
    result = boxes("schedule", "--every", "night")
    folder = Path(boxes.archipec.env["XDG_CONFIG_HOME"]) / "systemd" / "user"
    assert str(folder / "archipec.timer") in result.out and "enable-linger" in result.err
    assert "OnCalendar=*-*-* 02:30:00" in (folder / "archipec.timer").read_text()
    commands = [line for line in said.read_text().splitlines() if "show-environment" not in line]
    assert commands == [
        "--user daemon-reload",
        "--user enable archipec.timer",
        "--user restart archipec.timer",
    ]
    boxes("schedule", "--every", "hour")
    assert "*:10:00" in (folder / "archipec.timer").read_text()
    shown = boxes("schedule", "--json").object
    assert (shown["system"], shown["installed"]) == ("systemd", str(folder / "archipec.timer"))
    boxes("schedule", "--remove")
    assert not list(folder.iterdir()) and "disable --now archipec.timer" in said.read_text()
    assert boxes("schedule", "--json").object["installed"] == ""


@pytest.mark.skipif(sys.platform != "linux", reason="of Linux")
def test_where_nothing_can_be_told_the_line_for_cron_is_printed(boxes: Boxes, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    fake(programs, "systemctl", "print('Failed to connect to bus', file=sys.stderr)\nsys.exit(1)\n")
    boxes.archipec.env["PATH"] = f"{programs}:{os.environ['PATH']}"
    result = boxes("schedule", "--every", "night")
    assert result.out.startswith("30 2 * * * ") and "crontab -e" in result.err
    refused = boxes("schedule", "--every", "night", "--system", "systemd", expect=4)
    assert "Failed to connect to bus" in refused.err and "--system cron" in refused.err


# -- the others ------------------------------------------------------------------------------------------


def test_the_line_for_cron_runs(boxes: Boxes) -> None:
    line = printed(boxes, "cron", "15 7-19 * * mon-fri").rstrip("\n")
    fields, command = line.split(" ", 5)[:5], line.split(" ", 5)[5]
    assert fields == ["15", "7-19", "*", "*", "mon-fri"]
    runs_and_archives(boxes, ["sh", "-c", command.replace("\\%", "%")])


def test_the_agent_of_launchd(boxes: Boxes) -> None:
    agent = plistlib.loads(printed(boxes, "launchd", "0 7,13 * * mon").encode())
    assert agent["Label"] == "archipec.archive"
    assert agent["StartCalendarInterval"] == [{"Minute": 0, "Hour": hour, "Weekday": 1} for hour in (7, 13)]
    limits = {
        "Minute": range(60),
        "Hour": range(24),
        "Day": range(1, 32),
        "Month": range(1, 13),
        "Weekday": range(7),
    }
    for every in ("night", "hour", "*/20 * 1 * sun", "5 4 * 2-4 7"):
        for entry in plistlib.loads(printed(boxes, "launchd", every).encode())["StartCalendarInterval"]:
            assert all(value in limits[name] for name, value in entry.items())
    assert (
        "too many times"
        in boxes("schedule", "--system", "launchd", "--print", "--every", "*/2 1-22 1-28 * *", expect=4).err
    )
    runs_and_archives(boxes, agent["ProgramArguments"])


@pytest.mark.parametrize(
    "every",
    ["night", "hour", "* * * * *", "*/15 8-18 * * *", "0 7,13 * * mon-fri", "0 3 1,15 * *", "0 3 1 1-6 sun"],
)
def test_the_task_of_windows_is_in_its_format(boxes: Boxes, every: str) -> None:
    text = printed(boxes, "windows", every)
    task = etree.fromstring(text.replace('encoding="UTF-16"', 'encoding="UTF-8"').encode())
    etree.XMLSchema(etree.parse(FORMAT)).assertValid(task)
    ns = {"t": "http://schemas.microsoft.com/windows/2004/02/mit/task"}
    assert 1 <= len(task.findall(".//t:CalendarTrigger", ns)) <= 48
    assert Path(task.findtext(".//t:Command", "", ns)).exists()
    assert "--quiet" in task.findtext(".//t:Arguments", "", ns)


# -- whose it is -----------------------------------------------------------------------------------------

PLACES = {
    "systemd": ("config/systemd/user", "archipec{}.timer", "-"),
    "launchd": ("Library/LaunchAgents", "archipec.archive{}.plist", "."),
    "windows": ("tasks", "archipec{}", "-"),
}
CHANGES = ("enable", "disable", "boot", "/Create", "/Delete")
_TASKS = """
folder = pathlib.Path.home() / "tasks"
if "/TN" in sys.argv:
    task = folder / sys.argv[sys.argv.index("/TN") + 1]
    if "/Create" in sys.argv:
        task.write_bytes(pathlib.Path(sys.argv[-1]).read_bytes())
    elif not task.exists():
        sys.exit("ERROR: The system cannot find the file specified.")
    elif "/Delete" in sys.argv:
        task.unlink()
    else:
        sys.stdout.buffer.write(task.read_bytes())
"""


class Computer:
    """One system's folder of what it runs, and what its program was told."""

    def __init__(self, boxes: Boxes, system: str, programs: Path) -> None:
        folder, self._name, self.separator = PLACES[system]
        home = Path(boxes.archipec.env["HOME"])
        self.boxes, self.system, self._said = boxes, system, programs / "said"
        self.folder = home / folder
        self.folder.mkdir(parents=True)
        self._said.touch()
        for name, script in (("systemctl", ""), ("launchctl", ""), ("schtasks", _TASKS)):
            log = f"print(*sys.argv[1:], file=open({str(self._said)!r}, 'a'))\n"
            fake(programs, name, log + script)
        boxes.archipec.env["PATH"] = f"{programs}:{os.environ['PATH']}"

    def place(self, suffix: str = "") -> Path:
        return self.folder / self._name.format(suffix)

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.folder.iterdir()}

    def changes(self) -> list[str]:
        return [line for line in self._said.read_text().splitlines() if any(one in line for one in CHANGES)]

    def __call__(self, *arguments: object, config: Path | None = None, expect: int = 0) -> Result:
        config = config or self.boxes.path
        return self.boxes.archipec(
            "--config", config, "schedule", "--system", self.system, *arguments, expect=expect
        )


@pytest.fixture(params=PLACES)
def computer(boxes: Boxes, tmp_path: Path, request: pytest.FixtureRequest) -> Computer:
    programs = tmp_path / "programs"
    programs.mkdir()
    return Computer(boxes, request.param, programs)


def is_refused(computer: Computer, place: Path, why: str) -> None:
    """Neither installs over it nor removes it, says so, and has nothing to show."""
    before = computer.files()
    for asked in (("--every", "hour"), ("--remove",)):
        refused = computer(*asked, expect=4)
        assert place.name in refused.err and why in refused.err and "hint: " in refused.err
        assert computer.files() == before
    assert "nothing is installed" in computer().out


@pytest.mark.skipif(os.name != "posix", reason="its stand-ins are scripts")
def test_what_a_person_made_is_neither_replaced_nor_removed(computer: Computer) -> None:
    computer.place().write_bytes(b"[Timer]\nOnCalendar=weekly\n")
    is_refused(computer, computer.place(), "was not made by `archipec schedule`")
    assert computer.changes() == []


@pytest.mark.skipif(os.name != "posix", reason="its stand-ins are scripts")
@pytest.mark.parametrize("computer", ["systemd"], indirect=True)
def test_a_service_or_a_link_of_a_person_is_left_alone(computer: Computer) -> None:
    service = computer.folder / "archipec.service"
    service.write_text("[Service]\nExecStart=true\n")
    is_refused(computer, service, "was not made by `archipec schedule`")
    service.unlink()
    computer.place().symlink_to("/dev/null")  # as `systemctl mask` does
    assert "was not made by" in computer("--every", "night", expect=4).err
    assert computer.place().is_symlink() and computer.changes() == []


@pytest.mark.skipif(os.name != "posix", reason="its stand-ins are scripts")
def test_two_configurations_are_run_by_one_each(computer: Computer) -> None:
    other = computer.boxes.path.parent / "un'altra <&> 50%.toml"
    shutil.copy(computer.boxes.path, other)
    computer("--every", "night")
    first = computer.files()
    assert computer.place().name in first and "installed as" in computer().out
    assert "nothing is installed" in computer(config=other).out
    assert "nothing is installed" in computer("--remove", config=other).out
    installed = computer("--every", "hour", "--json", config=other).object["installed"]
    assert len(computer.files()) == 2 * len(first) and first.items() <= computer.files().items()
    assert Path(installed).name.startswith(f"archipec{computer.separator}") or computer.system == "launchd"
    assert computer("--json", config=other).object["installed"] == installed
    dotted = other.parent / ".." / other.parent.name / other.name
    assert computer("--json", config=dotted).object["installed"] == installed
    computer("--every", "night", config=dotted)
    assert len(computer.files()) == 2 * len(first)
    computer("--remove", config=other)
    assert computer.files() == first
    computer("--remove")
    assert computer.files() == {}


@pytest.mark.skipif(os.name != "posix", reason="its stand-ins are scripts")
def test_what_was_made_for_another_configuration_is_left_alone(computer: Computer) -> None:
    """The usual place was another one then."""
    computer("--every", "night")
    changes = computer.changes()
    for name, data in computer.files().items():
        text = data.decode("utf-16" if computer.system == "windows" else "utf-8")
        text = text.replace("archipec/archipec.toml", "archipec/un%20altro.toml")
        (computer.folder / name).write_text(text, "utf-16" if computer.system == "windows" else "utf-8")
    is_refused(computer, computer.folder / "archipec", "un altro.toml")
    assert computer.changes() == changes


# -- what is refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "every", ["sometimes", "30 2 * *", "60 2 * * *", "5-3 * * * *", "*/0 * * * *", "0 0 0 * *"]
)
def test_what_is_no_time_is_refused(boxes: Boxes, every: str) -> None:
    assert "--every must be" in boxes("schedule", "--every", every, "--print", expect=2).err


def test_without_a_configuration_there_is_nothing_to_run(boxes: Boxes) -> None:
    boxes.path.unlink()
    assert "archipec init" in boxes.archipec("schedule", "--every", "night", "--print", expect=4).err


@pytest.mark.skipif(os.name != "posix", reason="such names")
@pytest.mark.parametrize("name", [b"a\nb", b"a\xffb", b"a\x01b"])
@pytest.mark.parametrize("system", ["systemd", "launchd", "windows", "cron"])
def test_a_path_that_no_system_could_be_told_is_refused(
    boxes: Boxes, tmp_path: Path, name: bytes, system: str
) -> None:
    state = tmp_path / os.fsdecode(name)
    refused = boxes("--state", state, "schedule", "--system", system, "--every", "night", "--print", expect=4)
    assert "can't be given" in refused.err and refused.out == ""


def test_a_dollar_in_the_program_s_path_is_not_doubled_for_systemd() -> None:
    """systemd replaces no variables there, and takes both for the name."""
    line = systemd_service(["/opt/a$b %c/archipec", "a$b"], "made").splitlines()[-1]
    assert line == 'ExecStart="/opt/a$b %%c/archipec" "a$$b"'
