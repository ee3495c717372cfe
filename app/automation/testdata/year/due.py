#!/usr/bin/env python3
"""Write due.tsv.gz: every due time of every line of schedules.tsv.

    python3 app/automation/testdata/year/due.py

It is the list that TestAYearAnswersEveryDueTimeOnce compares Carillon's history with. It needs Python 3.9 and nothing
else, knows nothing of Carillon's code, and works another way: it goes through the dates and minutes that the five fields
name, and asks Python's zoneinfo when the clock of the zone shows each of them. The rules are these:

- A schedule whose minute or hour begins with a star follows elapsed time. It is due whenever the clock shows a minute that
  it names: never for a minute that is skipped, and both times for one that occurs twice.
- Any other is due once for each minute that it names: when the clock first shows it, or, if it is skipped, at the moment of
  the jump. Several that are skipped by one jump are due once together.
- Day of month and day of week: where neither begins with a star, one of them is enough; else both must match. "*/10"
  begins with a star.
- A One-Time is a clock time of its zone, and follows the second rule.

A line of schedules.tsv is in force from its time, not included, to its other time, not included.

The zone rules are those of the archive that Carillon has in itself, ../../../cron/zoneinfo.zip: release 2025c of the IANA
time zone database, as in Go 1.26. With a folder as an argument the rules there are taken instead. For the zones and the
year of the table, release 2025b has the same rules.
"""

import datetime as dt
import gzip
import io
import pathlib
import sys
import tempfile
import zipfile
import zoneinfo

HERE = pathlib.Path(__file__).resolve().parent
UTC = dt.timezone.utc
DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]


def field(text, low, high, names=(), first=0):
    """The set of values that a field names."""
    def value(word):
        return names.index(word.lower()) + first if word.lower() in names else int(word)

    values = set()
    for part in text.split(","):
        part, _, step = part.partition("/")
        if part == "*":
            start, end = low, high
        elif "-" in part:
            start, end = map(value, part.split("-"))
            if high == 7 and end == 0:  # fri-sun
                end = 7
        else:
            start = end = value(part)
        values.update(range(start, end + 1, int(step or 1)))
    return values


class Schedule:
    def __init__(self, text):
        minute, hour, day, month, weekday = text.split()
        self.elapsed = minute.startswith("*") or hour.startswith("*")
        self.both = day.startswith("*") or weekday.startswith("*")
        self.minutes = sorted(field(minute, 0, 59))
        self.hours = sorted(field(hour, 0, 23))
        self.days = field(day, 1, 31)
        self.months = field(month, 1, 12, MONTHS, 1)
        self.weekdays = {d % 7 for d in field(weekday, 0, 7, DAYS)}

    def on(self, date):
        day, weekday = date.day in self.days, date.isoweekday() % 7 in self.weekdays
        return date.month in self.months and (day and weekday if self.both else day or weekday)

    def clock_times(self, first, last):
        date = first
        while date <= last:
            if self.on(date):
                for hour in self.hours:
                    for minute in self.minutes:
                        yield dt.datetime.combine(date, dt.time(hour, minute))
            date += dt.timedelta(days=1)


def shows(instant, zone):
    return instant.astimezone(zone).replace(tzinfo=None)


def readings(clock, zone):
    """The instants at which the clock of a zone shows a clock time: none, one or two."""
    found = {clock.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)}
    return sorted(i for i in found if shows(i, zone) == clock)


def jump_over(clock, zone):
    """The instant at which the clock of a zone leaves out a clock time."""
    after = clock.replace(tzinfo=zone, fold=0).astimezone(UTC)
    before = clock.replace(tzinfo=zone, fold=1).astimezone(UTC)
    while after - before > dt.timedelta(seconds=1):
        middle = (before + (after - before) / 2).replace(microsecond=0)
        if shows(middle, zone) < clock:
            before = middle
        else:
            after = middle
    return after


def due(schedule, zone, start, end):
    one_time = " " not in schedule
    if one_time:
        clock_times, elapsed = [dt.datetime.fromisoformat(schedule)], False
    else:
        s = Schedule(schedule)
        day = dt.timedelta(days=2)
        clock_times, elapsed = s.clock_times((start - day).date(), (end + day).date()), s.elapsed
    found = set()
    for clock in clock_times:
        instants = readings(clock, zone)
        if elapsed:
            found.update(instants)
        elif instants:
            found.add(instants[0])
        else:
            found.add(jump_over(clock, zone))
    return sorted(i for i in found if one_time or start < i < end)


def main():
    with tempfile.TemporaryDirectory() as folder:
        if len(sys.argv) > 1:
            folder = sys.argv[1]
        else:
            zipfile.ZipFile(HERE / "../../../cron/zoneinfo.zip").extractall(folder)
        zoneinfo.reset_tzpath(to=[str(pathlib.Path(folder).resolve())])
        out, count = io.StringIO(), 0
        with open(HERE / "schedules.tsv") as table:
            for number, line in enumerate(table, 1):
                if line.startswith("#"):
                    continue
                _, zone, start, end, _, schedule = line.rstrip("\n").split("\t")
                instants = due(schedule, zoneinfo.ZoneInfo(zone), *map(dt.datetime.fromisoformat, (start, end)))
                count += len(instants)
                for instant in instants:
                    out.write(f"{number}\t{instant:%Y-%m-%dT%H:%M:%SZ}\n")
        (HERE / "due.tsv.gz").write_bytes(gzip.compress(out.getvalue().encode(), mtime=0))
        print(count, "due times")


if __name__ == "__main__":
    main()
