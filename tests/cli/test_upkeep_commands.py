"""stats, verify, reembed, models."""

import sqlite3

import pytest

from mnemos.models import weights

WEIGHTS = weights.package_folder()


def test_stats(run, vault):
    assert run("stats", "--json").json["memories"] == 6
    shown = run("stats").out
    assert "memories" in shown
    assert "kB" in shown


def test_stats_of_a_file_that_is_no_vault(run, tmp_path):
    (tmp_path / "memory.db").write_text("not a database, not at all" * 100)
    refused = run("stats", "--json")
    assert refused.code == 4
    assert refused.json["error"]["type"] == "StoreCorrupt"


def test_verify_a_sound_vault(run, vault):
    report = run("verify", "--json")
    assert report.code == 0
    assert (report.json["ok"], report.json["contents"]) == (True, 6)
    assert run("verify").out.startswith("sound")


def test_verify_a_damaged_vault(run, vault):
    with sqlite3.connect(vault) as connection:
        (table,) = connection.execute(
            "select name from sqlite_master where type='table' and name like '%external%'"
        ).fetchone()
        connection.execute(f"delete from {table}")
    connection.close()
    report = run("verify", "--json")
    assert report.code == 1
    assert report.json["problems"]
    assert run("verify").out.startswith("NOT SOUND")


def test_reembed_without_a_model(run, vault):
    refused = run("reembed", "--json")
    assert refused.code == 2
    assert "models add" in refused.json["error"]["message"]


@pytest.mark.skipif(WEIGHTS is None, reason="the weights package is not installed")
def test_reembed_brings_vectors(run, vault):
    done = run("reembed", "--json", embedder=True)
    assert done.code == 0
    assert done.json["done"] == 6
    assert "MiniLM" in done.json["to"]
    assert "embedded 0 memories" in run("reembed", embedder=True).out
    found = run("search", "food that makes Ana ill", "--user", "ana", "--json", embedder=True)
    assert "meaning" in {reason["signal"] for reason in found.json["hits"][0]["why"]}


@pytest.mark.skipif(WEIGHTS is None, reason="the weights package is not installed")
def test_models_from_the_installed_package(run, tmp_path):
    assert run("models", "list", "--json").code == 1
    added = run("models", "add", "minilm", "--json")
    assert added.code == 0
    assert added.json["cache"] == str(tmp_path / "models")
    (model,) = run("models", "list", "--json").json["models"]
    assert model["fingerprint"] == added.json["fingerprint"]
    assert "ready" in run("models", "list").out
    again = run("models", "add", str(tmp_path / "models"))
    assert again.code == 0


def test_models_path_and_empty_list(run, tmp_path):
    assert run("models", "path").out.strip() == str(tmp_path / "models")
    assert run("models", "path", "--json").json == {"cache": str(tmp_path / "models")}
    empty = run("models", "list")
    assert empty.code == 1
    assert "models add minilm" in empty.err


def test_models_add_of_nothing(run):
    refused = run("models", "add", "no/such/folder", "--json")
    assert refused.code == 5
    assert refused.json["error"]["type"] == "ModelUnavailable"


def test_models_add_downloads_where_there_is_no_package(run, monkeypatch, tmp_path):
    monkeypatch.setattr(weights, "package_folder", lambda: None)
    refused = run("models", "add", "minilm", "--mirror", "http://127.0.0.1:9", "--json")
    assert refused.code == 5
    assert "could not be downloaded" in refused.err
    assert run("models", "add", "minilm", "--mirror", "ftp://x").code == 2


def test_words_only_is_said_once_in_one_line(run, vault, monkeypatch):
    monkeypatch.setattr(weights, "package_folder", lambda: None)
    found = run("search", "peanuts", "--user", "ana", "--json", embedder=True)
    assert found.code == 0
    assert found.json["hits"]
    assert found.err.count("\n") == 1
    assert "models add minilm" in found.err
    assert run("search", "peanuts", "--user", "ana").err == ""


def test_what_needs_no_model_does_not_miss_it(run, vault, ids, monkeypatch):
    monkeypatch.setattr(weights, "package_folder", lambda: None)
    for args in (("get", ids["t1"]), ("stats",), ("verify",), ("forget", ids["t1"], "--yes")):
        assert run(*args, embedder=True).err == ""
