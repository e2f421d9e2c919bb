"""Images by coordinates, from a server of the test that answers as the services' documents say."""

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pandas as pd
import pytest
from astropy.io import fits
from astropy.table import Table
from PIL import Image

import galaxymorph as gm
from galaxymorph.base import BadInput
from galaxymorph.images import fetching
from galaxymorph.images.cutout_services import SERVICES, find_service
from tests.conftest import galaxymorph
from tests.makers import image_bytes, picture

ROOT = Path(__file__).parents[2]
SIDE = 424
PATHS = {
    "sdss": "/getjpeg",
    "legacy": "/cutout.jpg",
    "legacy:ls-dr9": "/cutout.jpg",
    "panstarrs": "/fitscut.cgi",
    "hips:CDS/P/DSS2/color": "/hips2fits",
}
# A galaxy of the sky: disk-like noise that no check takes for an empty frame.
GALAXY = image_bytes(picture(1, (SIDE, SIDE)))
PS1_TABLE = """projcell subcell ra dec filter mjd type filename shortname badflag
1405 053 {ra} {dec} g 0 stack /rings/skycell.1405.053.stk.g.unconv.fits g.fits 0
1405 053 {ra} {dec} r 0 stack /rings/skycell.1405.053.stk.r.unconv.fits r.fits 0
1405 053 {ra} {dec} i 0 stack /rings/skycell.1405.053.stk.i.unconv.fits i.fits 0
"""


class Sky(ThreadingHTTPServer):
    """Answers every service; `script` has the answers to come, by right ascension, before images.

    An answer is a status, bytes of an image, or a function of the handler.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: dict[str, list] = {}
        self.requests: list[tuple[str, dict[str, str], float]] = []
        self.agents: set[str] = set()
        # Requests after so many are answered when `released` is set.
        self.most = math.inf
        self.released = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def images(self) -> list[dict[str, str]]:
        return [query for path, query, _ in self.requests if path != "/ps1filenames.py"]

    def handle_error(self, request, client_address):
        """A client that hangs up is no error here."""


class Handler(BaseHTTPRequestHandler):
    server: Sky

    def do_GET(self):
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.server.requests.append((parts.path, query, time.monotonic()))
        self.server.agents.add(self.headers["User-Agent"])
        if len(self.server.requests) > self.server.most:
            self.server.released.wait(60)
        if parts.path == "/ps1filenames.py":
            self.answer(PS1_TABLE.format(**query).encode() if float(query["dec"]) > -30 else b"")
            return
        waiting = self.server.script.get(str(round(float(query["ra"]))), [])
        answer = waiting.pop(0) if waiting else GALAXY
        if callable(answer):
            answer(self)
        elif isinstance(answer, int):
            self.answer(b"<html>no</html>", answer)
        else:
            self.answer(answer)

    def answer(self, data, status=200, length=None, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data) if length is None else length))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *words):
        """Print nothing."""


@pytest.fixture
def sky(monkeypatch):
    # A proxy of the machine isn't for this address.
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Sky()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def pauses(monkeypatch):
    """The pauses before repetitions, which take no time here."""
    taken: list[float] = []
    monkeypatch.setattr(fetching.time, "sleep", taken.append)
    return taken


def galaxies(folder, n=4, **columns):
    path = folder / "galaxies.csv"
    table = {
        "objid": [f"58773{number}" for number in range(n)],
        "ra": [10.0 * (number + 1) for number in range(n)],
        "dec": [1.5 * number for number in range(n)],
        "petroR90_r": [5.0 + number for number in range(n)],
    }
    pd.DataFrame(table | columns).to_csv(path, index=False)
    return path


def fetch(sky, table, folder, survey="sdss", **options):
    return gm.cutouts(table, survey, folder, address=sky.address, rate=1000, **options)


@pytest.mark.parametrize("survey", PATHS)
def test_every_service_is_asked_as_its_documentation_says(sky, tmp_path, survey):
    table = fetch(sky, galaxies(tmp_path), tmp_path / "out", survey)
    assert table["status"].tolist() == ["ok"] * 4
    assert {path for path, _, _ in sky.requests} - {"/ps1filenames.py"} == {PATHS[survey]}
    asked = {round(float(query["ra"])): query for query in sky.images()}
    assert sorted(asked) == [10, 20, 30, 40]
    query = asked[20]
    assert float(query["dec"]) == pytest.approx(1.5)
    scale = 0.02 * 6
    sides = {
        "sdss": {"scale": scale, "width": SIDE, "height": SIDE},
        "legacy": {"pixscale": scale, "size": SIDE},
        "panstarrs": {"size": round(SIDE * scale / 0.25), "output_size": SIDE},
        "hips": {"fov": SIDE * scale / 3600, "width": SIDE, "height": SIDE},
    }
    for name, value in sides[survey.partition(":")[0]].items():
        assert float(query[name]) == pytest.approx(value, rel=1e-4), name
    words = {
        "legacy": {"layer": "ls-dr10"},
        "legacy:ls-dr9": {"layer": "ls-dr9"},
        "panstarrs": {
            "red": "/rings/skycell.1405.053.stk.i.unconv.fits",
            "green": "/rings/skycell.1405.053.stk.r.unconv.fits",
            "blue": "/rings/skycell.1405.053.stk.g.unconv.fits",
            "format": "jpg",
        },
        "hips:CDS/P/DSS2/color": {
            "hips": "CDS/P/DSS2/color",
            "projection": "TAN",
            "coordsys": "icrs",
            "format": "jpg",
        },
    }
    assert words.get(survey, {}).items() <= query.items()
    (agent,) = sky.agents
    assert agent.startswith(f"galaxymorph/{gm.__version__} ")


def test_the_manifest_names_images_address_and_date_and_is_a_catalogue(sky, tmp_path):
    folder = tmp_path / "out"
    command = ["data", "cutouts", galaxies(tmp_path), "--survey", "sdss", "-o", folder]
    assert galaxymorph(*command, "--address", sky.address, "--rate", 1000) == 0
    table = pd.read_csv(folder / "cutouts.csv", dtype={"id": str})
    assert table["id"].tolist() == [f"58773{number}" for number in range(4)]
    assert table["image"].tolist() == [f"images/58773{number}.jpg" for number in range(4)]
    assert table["scale"].tolist() == pytest.approx([0.1, 0.12, 0.14, 0.16])
    assert table["address"].str.startswith(f"{sky.address}/getjpeg?ra=").all()
    assert (table["survey"] == "sdss").all()
    dates = table["date"].map(datetime.fromisoformat)
    assert all(
        timedelta(0) <= datetime.now(timezone.utc) - date < timedelta(hours=1) for date in dates
    )
    for name in table["image"]:
        assert (folder / name).read_bytes() == GALAXY
    assert sorted(path.name for path in folder.iterdir() if path.name != ".lock") == [
        "cutouts.csv",
        "images",
    ]


def test_addresses_of_the_services_are_theirs():
    hosts = {name: urlsplit(service.address).netloc for name, service in SERVICES.items()}
    assert hosts == {
        "sdss": "skyserver.sdss.org",
        "legacy": "www.legacysurvey.org",
        "panstarrs": "ps1images.stsci.edu",
        "hips": "alasky.cds.unistra.fr",
    }
    assert find_service("hips:P/X", "http://mirror/").address == "http://mirror"


BLANK = image_bytes(Image.new("RGB", (SIDE, SIDE)))
WHITE = image_bytes(Image.new("RGB", (SIDE, SIDE), "white"))


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        (404, "outside", "HTTP 404 Not Found"),
        (400, "outside", "HTTP 400 Bad Request"),
        (403, "outside", "HTTP 403 Forbidden"),
        (BLANK, "blank", "galaxy 587731: "),
        (WHITE, "saturated", "galaxy 587731: "),
        (image_bytes(picture(1, (64, 64))), "outside", "an image of 64x64 pixels, not 424x424"),
    ],
)
def test_a_place_without_an_image_is_noted_and_not_tried_again(
    sky, tmp_path, answer, status, words, pauses
):
    sky.script["20"] = [answer]
    path, folder = galaxies(tmp_path), tmp_path / "out"
    table = fetch(sky, path, folder).set_index("id")
    assert table["status"].to_dict() == {
        **dict.fromkeys(["587730", "587732", "587733"], "ok"),
        "587731": status,
    }
    assert words in table.loc["587731", "error"]
    assert table.loc["587731", "image"] == ""
    assert not (folder / "images" / "587731.jpg").exists()
    assert len(list((folder / "images").iterdir())) == 3
    again = fetch(sky, path, folder).set_index("id")
    assert len(sky.images()) == 4
    pd.testing.assert_frame_equal(again, table)


def test_a_place_south_of_pan_starrs_is_outside(sky, tmp_path):
    table = fetch(sky, galaxies(tmp_path, dec=[1, -40, 2, 3]), tmp_path / "out", "panstarrs")
    assert table["status"].tolist() == ["ok", "outside", "ok", "ok"]
    assert table["error"][1] == "the service names no images"
    assert len(sky.images()) == 3


def truncated(handler):
    handler.answer(GALAXY[: len(GALAXY) // 2], length=len(GALAXY))


def hung_up(handler):
    handler.connection.close()


@pytest.mark.parametrize(
    "failure", [500, 502, 503, 504, 429, 408, truncated, hung_up, GALAXY[:9000], b"<html>"]
)
def test_a_passing_failure_is_tried_again_with_longer_pauses(sky, tmp_path, failure, pauses):
    sky.script["20"] = [failure] * 3
    table = fetch(sky, galaxies(tmp_path), tmp_path / "out")
    assert table["status"].tolist() == ["ok"] * 4
    assert [pause for pause in pauses if pause >= 1] == [1.0, 2.0, 4.0]
    assert len(sky.images()) == 7
    assert (tmp_path / "out" / "images" / "587731.jpg").read_bytes() == GALAXY


@pytest.mark.parametrize(
    ("value", "pause"),
    [
        (lambda: "7", 7),
        (lambda: format_datetime(datetime.now(timezone.utc) + timedelta(seconds=9)), 9),
        (lambda: "86400", 600),
        (lambda: "soon", 1),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_kept_to(sky, tmp_path, pauses, value, pause, status):
    sky.script["10"] = [lambda handler: handler.answer(b"", status, Retry_After=value())]
    fetch(sky, galaxies(tmp_path), tmp_path / "out")
    assert max(pauses) == pytest.approx(pause, abs=1.1)


def test_a_slow_answer_is_a_failure_that_passes(sky, tmp_path, pauses):
    gone = threading.Event()
    sky.script["10"] = [lambda handler: gone.wait(3)]
    table = fetch(sky, galaxies(tmp_path), tmp_path / "out", timeout=0.3)
    gone.set()
    assert table["status"].tolist() == ["ok"] * 4
    assert max(pauses) == 1


def test_a_galaxy_without_an_answer_is_tried_by_the_next_call(sky, tmp_path, pauses, capsys):
    sky.script["20"] = [500] * 3
    path, folder = galaxies(tmp_path), tmp_path / "out"
    table = fetch(sky, path, folder, retries=2)
    assert table["status"].tolist() == ["ok", "failed", "ok", "ok"]
    assert "HTTP 500" in table["error"][1]
    assert "3 images; 1 failed (repeat the command" in capsys.readouterr().err
    assert fetch(sky, path, folder)["status"].tolist() == ["ok"] * 4
    assert Counter(round(float(query["ra"])) for query in sky.images()) == {
        10: 1,
        20: 4,
        30: 1,
        40: 1,
    }


def test_a_service_that_is_down_stops_the_command_which_then_goes_on(sky, tmp_path, pauses, capsys):
    path, folder = galaxies(tmp_path, 9), tmp_path / "out"
    for ra in ("30", "40", "50"):
        sky.script[ra] = [503] * 2
    command = ["data", "cutouts", path, "--survey", "sdss", "-o", folder]
    command += ["--address", sky.address, "--rate", 1000, "--retries", 1]
    assert galaxymorph(*command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "HTTP 503 Service Unavailable, for 3 galaxies in a row; repeat the command" in line
    assert len(list((folder / "images").iterdir())) == 2
    assert galaxymorph(*command) == 0
    assert len(list((folder / "images").iterdir())) == 9
    assert "2 of 9 are there" in capsys.readouterr().err


def test_nobody_listens(tmp_path, pauses):
    with pytest.raises(BadInput, match=r"doesn't answer \(.*refused.*\), for 3 galaxies in a row"):
        gm.cutouts(
            galaxies(tmp_path), "sdss", tmp_path / "out", address="http://127.0.0.1:1", retries=1
        )


class Clock:
    """A clock that goes on while somebody sleeps."""

    now = 0.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.mark.parametrize(("rate", "seconds"), [(20, 0.25), (None, 2.5), (0.1, 50)])
def test_requests_come_at_the_rate(sky, tmp_path, monkeypatch, rate, seconds):
    clock = Clock()
    monkeypatch.setattr(fetching, "time", clock)
    gm.cutouts(galaxies(tmp_path, 6), "sdss", tmp_path / "out", address=sky.address, rate=rate)
    assert len(sky.requests) == 6
    assert clock.now == pytest.approx(seconds)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_command_goes_on_and_fetches_each_image_once(sky, tmp_path, number):
    """Stopped by Ctrl-C, or killed; no image is ever there in part."""
    sky.most = 8
    path, folder = galaxies(tmp_path, 30), tmp_path / "out"
    command = [sys.executable, "cli.py", "data", "cutouts", str(path), "--survey", "sdss"]
    command += ["-o", str(folder), "--address", sky.address, "--rate", "1000"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while len(sky.requests) <= sky.most:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    sky.released.set()
    _, words = process.communicate(timeout=60)
    if number == signal.SIGINT:
        assert (process.returncode, words.strip()) == (130, b"stopped")
        assert 5 <= len(pd.read_csv(folder / "cutouts.csv")) < 30
    for image in (folder / "images").glob("[!.]*"):
        assert image.read_bytes() == GALAXY
    before = len(sky.requests)
    sky.most = math.inf
    table = fetch(sky, path, folder)
    assert table["status"].tolist() == ["ok"] * 30
    # One image may have been under way.
    assert before + len(sky.requests[before:]) <= 31
    names = sorted(path.name for path in (folder / "images").iterdir())
    assert names == sorted(f"58773{number}.jpg" for number in range(30))
    assert not (folder / ".cutouts.jsonl").exists()
    assert pd.read_csv(folder / "cutouts.csv")["id"].is_unique


def test_a_journal_whose_last_line_is_cut_is_read_up_to_it(sky, tmp_path):
    path, folder = galaxies(tmp_path), tmp_path / "out"
    table = fetch(sky, path, folder)
    (folder / "cutouts.csv").unlink()
    lines = [json.dumps(row) for row in table.to_dict("records")]
    (folder / ".cutouts.jsonl").write_text("\n".join(lines)[:-20])
    pd.testing.assert_frame_equal(
        fetch(sky, path, folder).drop(columns="date"), table.drop(columns="date")
    )
    assert len(sky.images()) == 5


def test_what_has_changed_is_fetched_again(sky, tmp_path):
    folder = tmp_path / "out"
    fetch(sky, galaxies(tmp_path), folder)
    table = fetch(sky, galaxies(tmp_path, 5, petroR90_r=[5.0, 9.0, 7.0, 8.0, 9.0]), folder)
    assert table["scale"].tolist() == pytest.approx([0.1, 0.18, 0.14, 0.16, 0.18])
    assert len(sky.images()) == 6
    (folder / "images" / "587730.jpg").unlink()
    fetch(sky, galaxies(tmp_path, 5, petroR90_r=[5.0, 9.0, 7.0, 8.0, 9.0]), folder)
    assert len(sky.images()) == 7
    with pytest.raises(BadInput, match="has images of survey sdss, not legacy; choose another"):
        fetch(sky, galaxies(tmp_path), folder, "legacy")


def test_without_radii_the_field_is_fixed(sky, tmp_path, capsys):
    path = galaxies(tmp_path)
    pd.read_csv(path).drop(columns="petroR90_r").to_csv(path, index=False)
    table = fetch(sky, path, tmp_path / "out")
    assert table["scale"].tolist() == pytest.approx([60 / SIDE] * 4)
    assert "no column of Petrosian radii: every image has 60 arcsec a side" in (
        capsys.readouterr().err
    )
    table = fetch(sky, galaxies(tmp_path), tmp_path / "other", field=106)
    assert table["scale"].tolist() == pytest.approx([0.25] * 4)
    table = fetch(
        sky, galaxies(tmp_path, size=[1, 2, 3, 4]), tmp_path / "third", radius_column="size"
    )
    assert table["scale"].tolist() == pytest.approx([0.02, 0.04, 0.06, 0.08])


@pytest.mark.parametrize("ending", ["csv", "fits", "vot", "ecsv", "parquet"])
def test_tables_in_any_format_with_columns_of_usual_names(sky, tmp_path, ending):
    frame = pd.read_csv(galaxies(tmp_path, 2))
    frame = frame.rename(columns={"objid": "dr7objid", "ra": "RAJ2000", "dec": "DEJ2000"})
    path = tmp_path / f"table.{ending}"
    if ending == "csv":
        frame.to_csv(path, index=False)
    elif ending == "parquet":
        frame.to_parquet(path)
    else:
        formats = {"fits": "fits", "vot": "votable", "ecsv": "ascii.ecsv"}
        Table.from_pandas(frame).write(path, format=formats[ending])
    table = fetch(sky, path, tmp_path / "out")
    assert table["id"].tolist() == ["587730", "587731"]
    assert table["ra"].tolist() == [10, 20]


@pytest.mark.parametrize("ending", ["fits", "vot", "ecsv"])
def test_coordinates_by_their_ucds(sky, tmp_path, ending):
    frame = pd.read_csv(galaxies(tmp_path, 2))
    table = Table.from_pandas(frame.rename(columns={"ra": "x", "dec": "y"}))
    # By their names, two others would be the coordinates.
    table["ra"], table["dec"] = [1.0, 2.0], [3.0, 4.0]
    ucds = {"x": "pos.eq.ra;meta.main", "y": "pos.eq.dec;meta.main", "ra": "stat.error;pos.eq.ra"}
    path = tmp_path / f"table.{ending}"
    if ending == "fits":
        unit = fits.table_to_hdu(table)
        for name, ucd in ucds.items():
            unit.header[f"TUCD{table.colnames.index(name) + 1}"] = ucd
        fits.HDUList([fits.PrimaryHDU(), unit]).writeto(path)
    else:
        for name, ucd in ucds.items():
            table[name].meta["ucd"] = ucd
        table.write(path, format="votable" if ending == "vot" else "ascii.ecsv")
    result = fetch(sky, path, tmp_path / "out")
    assert (result["ra"].tolist(), result["dec"].tolist()) == ([10, 20], [0, 1.5])


@pytest.mark.parametrize(
    ("columns", "options", "words"),
    [
        ({"ra": [1, 2, 400, 4]}, {}, "row 4: ra is '400' and dec is '3.0', no place on the sky"),
        ({"dec": ["", 2, 3, 4]}, {}, "row 2: ra is '10.0' and dec is empty, no place on the sky"),
        ({"petroR90_r": [1, 0, 2, 3]}, {}, "row 3: petroR90_r is empty, or no radius"),
        ({"petroR90_r": [1, "", 2, 3]}, {}, "row 3: petroR90_r is empty, or no radius"),
        ({"objid": ["1", "2", "1", "3"]}, {}, "row 2: doubled objid 1, again in row 4"),
        ({}, {"radius_column": "r90"}, "column 'r90' is missing"),
        ({}, {"id_column": "id"}, "column 'id' is missing"),
        ({}, {"ra_column": "ra"}, "give both ra_column and dec_column"),
        ({}, {"rate": 0}, "rate '0' is no number above 0"),
        ({}, {"address": "mirror"}, "address mirror: no address"),
        ({}, {"survey": "sds"}, "survey='sds' is unknown; use one of sdss, legacy"),
        ({}, {"survey": "hips"}, "survey='hips' has no id; give hips:ID"),
        ({}, {"survey": "sdss:dr7"}, "sdss has no layers"),
    ],
)
def test_what_cannot_be_fetched_is_one_line_before_any_request(
    sky, tmp_path, columns, options, words
):
    path = galaxies(tmp_path, **columns)
    with pytest.raises(BadInput) as error:
        gm.cutouts(
            path,
            **({"survey": "sdss", "output": tmp_path / "out", "address": sky.address} | options),
        )
    assert words in str(error.value)
    assert not sky.requests


def test_bad_rows_can_be_left_out(sky, tmp_path, capsys):
    path = galaxies(tmp_path, ra=[10, "", 30, 40])
    table = fetch(sky, path, tmp_path / "out", skip_bad=True)
    assert table["id"].tolist() == ["587730", "587732", "587733"]
    assert "row 3: ra is empty and dec is '1.5', no place on the sky; left out" in (
        capsys.readouterr().err
    )


def test_without_coordinates_the_columns_are_listed(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("objid,x,y\n1,2,3\n")
    with pytest.raises(BadInput, match="no columns of coordinates; .* it has objid, x, y"):
        gm.cutouts(path, "sdss", tmp_path / "out")


def test_the_images_and_the_manifest_are_predicted(sky, run, tmp_path):
    fetch(sky, galaxies(tmp_path), tmp_path / "out")
    failures = gm.predict_catalogue(run, tmp_path / "out" / "cutouts.csv", tmp_path / "predicted")
    assert (failures.number, failures.rows) == (0, 4)
