"""completion: scripts that the shells themselves accept."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from arvo_plpg.cli import main


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts(capsys, shell, tmp_path):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for word in ("redrive", "queues", "dry-run"):
        assert word in script
    file = tmp_path / "script"
    file.write_text(script)
    if program := shutil.which(shell):
        subprocess.run([program, "-n", file], check=True, capture_output=True, timeout=60)


def test_bash_completes(capsys, tmp_path):
    main(["completion", "bash"])
    file = tmp_path / "script"
    file.write_text(capsys.readouterr().out)
    asked = f"""source {file}
complete -p arvo-plpg >/dev/null
fn=$(complete -p arvo-plpg | sed 's/.*-F \\([^ ]*\\).*/\\1/')
COMP_WORDS=(arvo-plpg dead re); COMP_CWORD=2; COMP_LINE='arvo-plpg dead re'; COMP_POINT=17
$fn; echo "${{COMPREPLY[@]}}"
COMP_WORDS=(arvo-plpg purge --d); COMP_CWORD=2
$fn; echo "${{COMPREPLY[@]}}"
"""
    ran = subprocess.run(
        ["bash", "-c", asked], capture_output=True, text=True, timeout=60, check=True
    )
    first, second = ran.stdout.splitlines()
    assert first.split() == ["redrive"]
    assert set(second.split()) == {"--dsn", "--dry-run"}


@pytest.mark.parametrize(("words", "library"), [(["completion", "bash"], "shtab")])
def test_without_the_extra_it_says_what_to_install(words, library, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    assert main(words) == 1
    told = capsys.readouterr().err
    assert f"'{library}' is missing" in told
    assert "arvo-plpg[cli]" in told


def test_json(capsys):
    assert main(["completion", "fish", "--json"]) == 0
    assert '"shell": "fish"' in capsys.readouterr().out
