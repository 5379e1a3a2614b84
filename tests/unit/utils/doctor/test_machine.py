"""What the doctor says of the machine."""

import os
from datetime import UTC, datetime

import pytest

from config.loading import load_settings
from utils.doctor import machine
from utils.doctor.findings import Grade


@pytest.mark.parametrize(
    ("version", "bits", "grade"),
    [
        ((3, 11), 64, Grade.PASS),
        ((3, 13), 64, Grade.PASS),
        ((3, 10), 64, Grade.FAIL),
        ((3, 12), 32, Grade.FAIL),
        ((3, 14), 64, Grade.WARN),
    ],
)
def test_python_must_be_one_that_the_terminals_package_exists_for(version, bits, grade):
    finding = machine.python(version, bits)
    assert finding.grade is grade
    assert bool(finding.remedy) == (grade is not Grade.PASS)


class TestPackages:
    def test_pins_of_other_systems_and_comments_are_passed_over(self):
        text = '# a comment\n\nno-such-package==1.0 ; sys_platform == "win32"\n'
        assert [f.grade for f in machine.packages(text, "linux")] == [Grade.PASS]
        (finding,) = machine.packages(text, "win32")
        assert (finding.grade, "no-such-package" in finding.detail) == (Grade.FAIL, True)

    def test_a_missing_package_fails_and_another_version_warns(self):
        found = list(machine.packages("no-such-package==1.0\nnumpy==0.1\n"))
        assert [f.grade for f in found] == [Grade.FAIL, Grade.WARN]
        assert all("pip install -r requirements.txt" in f.remedy for f in found)


def test_time_zone_data():
    assert machine.zones("America/New_York").grade is Grade.PASS
    assert "tzdata" in machine.zones("Mars/Olympus").remedy


@pytest.mark.parametrize(("free", "grade"), [(2**34, Grade.PASS), (2**29, Grade.WARN), (2**20, Grade.FAIL)])
def test_disk(tmp_path, free, grade):
    assert machine.disk(tmp_path / "not" / "yet", free).grade is grade
    assert str(tmp_path / "not" / "yet") in machine.disk(tmp_path / "not" / "yet").detail


class TestNews:
    NOW = datetime(2024, 1, 8, 12, tzinfo=UTC)

    def found(self, **news):
        return list(machine.news(load_settings(None, news), self.NOW))

    def test_without_a_calendar_there_is_nothing_to_say(self):
        assert self.found() == []

    @pytest.mark.parametrize(("required", "grade"), [(False, Grade.WARN), (True, Grade.FAIL)])
    def test_a_calendar_that_is_not_there(self, tmp_path, required, grade):
        (finding,) = self.found(news_file=tmp_path / "none.csv", news_required=required)
        assert (finding.grade, "docs/NEWS.md" in finding.remedy) == (grade, True)

    def test_a_sound_calendar(self, tmp_path):
        path = tmp_path / "news.csv"
        path.write_text("time,currency,impact,title\n2024-01-09T13:30:00Z,USD,high,CPI\n", encoding="utf-8")
        os.utime(path, (self.NOW.timestamp(), self.NOW.timestamp()))
        (finding,) = self.found(news_file=path)
        assert finding.grade is Grade.PASS, finding
        assert "1 releases" in finding.detail
