from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from config.errors import HomeError
from config.home import bound_home, hold_home, is_held, open_home, signing_key

REPOSITORY = Path(__file__).parents[3]
HOLD = "import sys; from pathlib import Path; from config.home import *\nwith hold_home(open_home(Path(sys.argv[1]), 'synthetic')):\n print('held', flush=True); sys.stdin.read()"
KEY = "import sys; from pathlib import Path; from config.home import *\nprint(signing_key(open_home(Path(sys.argv[1]), 'synthetic'), None).hex())"


def python(code: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_new_home_has_its_folders_and_names(tmp_path):
    home = open_home(tmp_path / "deep" / "home", "synthetic")
    assert home.models.is_dir()
    assert home.logs.is_dir()
    names = [p.name for p in (home.journal, home.shared_state, home.book, home.key_file, home.lock_file, home.origin_file)]
    assert names == ["journal.db", "shared_state.db", "broker.db", "signing.key", "home.lock", "origin.json"]


@pytest.mark.parametrize("origin", ["synthetic", "file", "mt5:ICMarkets-Demo/51234567", "mt5:Broker Demo 2/1"])
def test_a_home_opens_again_with_its_own_origin(tmp_path, origin):
    open_home(tmp_path, origin)
    before = (tmp_path / "origin.json").read_bytes()
    open_home(tmp_path, origin)
    assert (tmp_path / "origin.json").read_bytes() == before


def test_another_origin_is_refused_with_both_names_and_the_remedy(tmp_path):
    open_home(tmp_path, "synthetic")
    with pytest.raises(HomeError, match=r"bound to synthetic, not to mt5:Demo/7; .*--home DIR") as caught:
        open_home(tmp_path, "mt5:Demo/7")
    assert caught.value.exit_code == 3


def test_two_logins_of_a_server_are_two_origins(tmp_path):
    open_home(tmp_path, "mt5:Demo/7")
    with pytest.raises(HomeError, match="bound to mt5:Demo/7, not to mt5:Demo/70"):
        open_home(tmp_path, "mt5:Demo/70")


@pytest.mark.parametrize("origin", ["", "Synthetic", "mt5", "mt5:/7", "mt5:Demo/", "mt5:Demo/x", "mt5:Demo/7\n", "file:a.csv"])
def test_a_malformed_origin_binds_nothing(tmp_path, origin):
    with pytest.raises(HomeError, match="is none of synthetic, file, mt5"):
        open_home(tmp_path, origin)
    assert not (tmp_path / "origin.json").exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"origin": 3}', b'{"origin": "elsewhere"}', b"\xff\xfe"])
def test_a_damaged_binding_is_refused_and_left_alone(tmp_path, content):
    (tmp_path / "origin.json").write_bytes(content)
    with pytest.raises(HomeError, match=r"origin\.json is damaged"):
        open_home(tmp_path, "synthetic")
    assert (tmp_path / "origin.json").read_bytes() == content


def test_a_file_in_the_place_of_the_home_is_named(tmp_path):
    (tmp_path / "home").write_text("", encoding="utf-8")
    with pytest.raises(HomeError, match=r"home cannot be used .*--home DIR"):
        open_home(tmp_path / "home", "synthetic")


def test_the_key_is_made_once_and_kept(tmp_path):
    home = open_home(tmp_path, "synthetic")
    key = signing_key(home, None)
    assert len(key) == 32
    assert signing_key(home, None) == key
    assert signing_key(open_home(tmp_path / "other", "synthetic"), None) != key


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes; the key has the permissions of its folder")
def test_the_key_is_readable_by_its_user_alone(tmp_path):
    home = open_home(tmp_path, "synthetic")
    signing_key(home, None)
    assert stat.S_IMODE(home.key_file.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"", b"short", b"g" * 64, b"ab" * 33, b"\xff" * 64])
def test_a_malformed_key_is_refused_and_never_overwritten(tmp_path, content):
    home = open_home(tmp_path, "synthetic")
    home.key_file.write_bytes(content)
    with pytest.raises(HomeError, match=r"signing\.key is not a signing key .*backup"):
        signing_key(home, None)
    assert home.key_file.read_bytes() == content


def test_the_override_is_used_and_makes_no_file(tmp_path):
    home = open_home(tmp_path, "synthetic")
    assert signing_key(home, "s" * 32) == b"s" * 32
    assert not home.key_file.exists()


def test_a_short_override_is_refused_without_showing_it(tmp_path):
    with pytest.raises(HomeError, match="MODEL_SIGNING_KEY has 6 characters") as caught:
        signing_key(open_home(tmp_path, "synthetic"), "secret")
    assert "secret" not in str(caught.value)


def test_threads_that_start_at_once_agree_on_one_key(tmp_path):
    home, keys, start = open_home(tmp_path, "synthetic"), set(), threading.Barrier(8)

    def ask():
        start.wait()
        keys.add(signing_key(home, None))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert keys == {bytes.fromhex(home.key_file.read_text(encoding="utf-8").strip())}


def test_processes_that_start_at_once_agree_on_one_key(tmp_path):
    replies = [process.communicate(timeout=60) for process in [python(KEY, str(tmp_path)) for _ in range(3)]]
    assert {out.strip() for out, _ in replies} == {signing_key(open_home(tmp_path, "synthetic"), None).hex()}, replies


def test_a_kill_before_the_rename_leaves_no_half_written_key(tmp_path, monkeypatch):
    home = open_home(tmp_path, "synthetic")

    class Killed(BaseException):
        pass

    def die(source, target, **more):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("os.replace", die)
        with pytest.raises(Killed):
            signing_key(home, None)
    assert not home.key_file.exists()
    assert len(signing_key(home, None)) == 32


def test_a_second_holder_is_refused_until_the_first_lets_go(tmp_path):
    home = open_home(tmp_path, "synthetic")
    with hold_home(home), pytest.raises(HomeError, match=r"home\.lock is held: a daemon already runs .*--home DIR"), hold_home(home):
        pass
    with hold_home(home):
        pass


def test_a_killed_holder_holds_no_longer(tmp_path):
    process = python(HOLD, str(tmp_path))
    try:
        assert process.stdout.readline().strip() == "held"
        home = open_home(tmp_path, "synthetic")  # other commands may open a home that a daemon holds
        with pytest.raises(HomeError, match="is held"), hold_home(home):
            pass
    finally:
        process.kill()
        process.communicate()
    with hold_home(home):
        pass


def test_a_bound_home_opens_with_its_own_origin(tmp_path):
    open_home(tmp_path, "mt5:Demo/7")
    home, origin = bound_home(tmp_path)
    assert (home.path, origin) == (tmp_path.resolve(), "mt5:Demo/7")


def test_opening_a_home_that_is_none_makes_nothing(tmp_path):
    with pytest.raises(HomeError, match=r"no home in .*--home DIR"):
        bound_home(tmp_path / "none")
    assert list(tmp_path.iterdir()) == []


def test_a_home_is_held_exactly_while_somebody_holds_it(tmp_path):
    home = open_home(tmp_path, "synthetic")
    assert not is_held(home)
    assert not home.lock_file.exists()
    with hold_home(home):
        assert is_held(home)
    assert not is_held(home)


def test_asking_whether_a_home_is_held_keeps_no_daemon_from_starting(tmp_path):
    home = open_home(tmp_path, "synthetic")
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            is_held(home)

    asker = threading.Thread(target=ask)
    with hold_home(home):
        asker.start()
    try:
        for _ in range(20):
            with hold_home(home):
                pass
    finally:
        done.set()
        asker.join()
