"""The command, and the server on a real port."""

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from urllib.error import HTTPError

import pytest

from chinspect.errors import InputError
from chinspect.serve import serve
from tests.serve._runs import write_run


def start(home, *options):
    """The command on a free port, and the address that it names."""
    code = "from chinspect.cli import main; main()"
    command = [sys.executable, "-c", code, "serve", str(home), "--port", "0", "--no-browser", *options]
    environment = os.environ | {"PYTHONWARNINGS": "default"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )
    line = process.stderr.readline()
    return process, line, next(word.rstrip(",") for word in line.split() if word.startswith("http"))


def test_the_command_serves_on_this_machine_only_and_ctrl_c_ends_it_quietly(tmp_path):
    process, line, address = start(write_run(tmp_path / "run"), "--json")
    try:
        assert address.startswith("http://127.0.0.1:")
        assert "Ctrl-C ends it" in line
        with urllib.request.urlopen(address, timeout=20) as answer:
            assert answer.status == 200
            assert b"Candidate" in answer.read()
            assert "server" not in answer.headers
        port = int(address.rsplit(":", 1)[1].strip("/"))
        request = urllib.request.Request(address, headers={"Host": f"evil.example:{port}"})
        with pytest.raises(HTTPError, match="421"):
            urllib.request.urlopen(request, timeout=20)
        request = f"GET /../../../../etc/passwd HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            connection.sendall(request.encode())
            assert connection.recv(1000).startswith(b"HTTP/1.1 404")
    finally:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert address in out
    assert err == ""


def test_a_port_that_is_taken_is_told_with_what_to_do(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"the port {port} is taken.*--port 0"):
            serve(write_run(tmp_path / "run"), port=port)


def test_a_port_out_of_range_is_told(tmp_path):
    with pytest.raises(InputError, match="0 to 65535, not 70000"):
        serve(write_run(tmp_path / "run"), port=70000)


def test_without_the_extra_the_command_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr("chinspect.serve.server.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install chinspect\[serve\]"):
        serve(tmp_path)
