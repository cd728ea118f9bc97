import json
import os
import subprocess
import sys

import pytest
import typer
from kit_process import PATIENCE

from kit import __version__
from kit.cli import main as cli
from kit.cli.output import narrate, print_json, print_table, print_text
from kit.errors import InputError, StorageError, TrainingStoppedError

CODE = "1252233313000000223212122253130000000000006515000000"
RUN = "from kit.cli.main import main; main()"


def run_kit(*arguments, **options):
    options = {"capture_output": True, "text": True, "timeout": 60} | options
    return subprocess.run([sys.executable, "-c", RUN, *arguments], check=False, **options)


def command_ending_with(error, monkeypatch):
    """A `kit` with one command that raises `error`."""
    app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)

    @app.callback()
    def start() -> None:
        pass

    @app.command()
    def fail() -> None:
        raise error

    monkeypatch.setattr(cli, "app", app)


def modules_loaded_by(*arguments):
    script = f"import sys\ntry:\n    {RUN}\nfinally:\n    print(*sys.modules, file=sys.stderr)"
    command = [sys.executable, "-c", script, *arguments]
    return set(subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True).stderr.split())


# Typer itself imports pydantic as soon as it converts an argument, so only the plain help does without.
@pytest.mark.parametrize(
    ("arguments", "further"),
    [
        (["--help"], {"pydantic"}),
        ([], set()),
        (["--version"], set()),
        (["rank", "-h"], set()),
        (["architecture", "-h"], set()),
    ],
)
def test_help_imports_nothing_heavy(arguments, further):
    loaded = modules_loaded_by(*arguments)
    assert "kit.cli.rank" in loaded
    assert not loaded & {"torch", "timm", "torchvision", "numpy", "scipy", "sklearn", "rich", "safetensors", *further}


def test_architecture_needs_neither_torch_nor_numpy():
    loaded = modules_loaded_by("architecture", CODE)
    assert "kit.recipe" in loaded
    assert not loaded & {"torch", "timm", "numpy", "scipy"}


def test_alone_it_prints_help():
    done, helped = run_kit(), run_kit("--help")
    assert done.returncode == helped.returncode == 0
    assert done.stdout == helped.stdout
    for command in ("rank", "architecture", "weights"):
        assert command in done.stdout


def test_version():
    done = run_kit("--version")
    assert (done.stdout, done.stderr, done.returncode) == (f"kit {__version__}\n", "", 0)


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["--nonsense"], ["rank"], ["rank", "a", "--truth"], ["architecture", CODE, "more"]]
)
def test_usage_errors_are_2_on_stderr(arguments):
    done = run_kit(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Error: " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [(InputError("bad thing", hint="do this"), 2), (StorageError("bad thing"), 3), (TrainingStoppedError("bad thing"), 4)],
)
def test_errors_for_users_are_two_lines_and_an_exit_code(error, code, monkeypatch, capsys):
    command_ending_with(error, monkeypatch)
    with pytest.raises(SystemExit) as caught:
        cli.main(["fail"])
    out, err = capsys.readouterr()
    assert caught.value.code == code
    assert out == ""
    assert err == "error: bad thing\n" + ("hint: do this\n" if error.hint else "")


def test_programmer_errors_keep_their_traceback(monkeypatch):
    command_ending_with(ZeroDivisionError("mine"), monkeypatch)
    with pytest.raises(ZeroDivisionError):
        cli.main(["fail"])


def test_control_c_is_130(monkeypatch):
    command_ending_with(KeyboardInterrupt(), monkeypatch)
    with pytest.raises(SystemExit) as caught:
        cli.main(["fail"])
    assert caught.value.code == 130


def test_a_reader_that_left_is_no_traceback():
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        done = run_kit("architecture", CODE, "--json", capture_output=False, stdout=closed, stderr=subprocess.PIPE)
    assert done.stderr == ""
    assert done.returncode == 3


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_behind_stdout_is_an_error():
    with open("/dev/full", "w") as full:
        done = run_kit("architecture", CODE, "--json", capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 3
    assert done.stderr.startswith("error: cannot write to standard output: No space left")
    assert "Traceback" not in done.stderr


def test_user_data_is_neither_markup_nor_terminal_control(capsys):
    hostile = "[bold]x[/bold] [/] :smile: \x1b[31m"
    print_table(["[red]a"], [[hostile.replace("\x1b", "")]], title="[b]t")
    narrate(hostile)
    out, err = capsys.readouterr()
    assert "[red]a" in out
    assert "[bold]x[/bold] [/] :smile: [31m" in out
    assert "[b]t" in out
    assert err == "[bold]x[/bold] [/] :smile: \\x1b[31m\n"


def test_a_table_in_a_pipe_is_plain_and_whole(capsys):
    cells = [str(number) * 30 for number in range(9)]
    print_table([*"abcdefghi"], [cells], right=(1,))
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert any(all(cell in line for cell in cells) for line in out.splitlines())


def test_json_is_one_document_without_nan(capsys):
    print_json({"a": [1, "ü", None]})
    assert json.loads(capsys.readouterr().out) == {"a": [1, "ü", None]}
    with pytest.raises(ValueError, match="Out of range"):
        print_json({"a": float("nan")})


def test_text_that_stdout_cannot_encode_is_escaped():
    script = "from kit.cli.output import print_text; print_text('a\\u2581b')"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "a\\u2581b\n"


def test_text_is_written_as_it_is(capsys):
    print_text("[b]▁[/b]")
    assert capsys.readouterr().out == "[b]▁[/b]\n"


def int_options(command, words=()):
    for name, child in getattr(command, "commands", {}).items():
        yield from int_options(child, (*words, name))
    for parameter in getattr(command, "params", ()):
        if parameter.param_type_name == "option" and getattr(parameter, "min", None) is not None:
            yield " ".join((*words, parameter.opts[0])), parameter


def test_no_whole_number_is_too_large_for_what_is_counted_with_it():
    options = dict(int_options(typer.main.get_command(cli.app)))
    assert "benchmark step --batch" in options and "run recipe --seed" in options
    whole = {name: each for name, each in options.items() if each.type_descriptor.annotation in (int, int | None)}
    assert len(whole) > 10
    limits = {name for name in whole if "--max-" in name}  # only compared with
    assert not [name for name in whole.keys() - limits if whole[name].max is None or whole[name].max >= 2**31]
    assert not [name for name in limits if whole[name].max is None or whole[name].max >= 2**53]
