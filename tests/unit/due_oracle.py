"""What test_due.c compares with: due times around changes of clocks, found in another way.

Python's zoneinfo tells the zones. A schedule at fixed hours is worked out by local times and `fold`, one that follows
elapsed time by looking at each minute. Only years that have passed, in zones whose history is settled.

A line is: zone, cron line, first and last instant of the window (seconds since 1970), and the due times in it, as
minutes (or, with a dot, seconds) after the first. Behind one: m, it was moved to the end of a gap; f and s, the first
and second of two; +N, N more of the same gap.
"""

import datetime
import itertools
import zoneinfo

UTC = datetime.timezone.utc
# A cron line, and how far to look around a change.
CRONS = (("30 2 * * *", 30 * 3600), ("0,45 0-3,23 * * *", 30 * 3600), ("20,50 * * * *", 5 * 3600))
YEARS = (1996, 2007, 2024)
ZONES = """Europe/Berlin Europe/London Europe/Dublin Europe/Istanbul Europe/Moscow Europe/Chisinau Atlantic/Azores
America/New_York America/Los_Angeles America/St_Johns America/Havana America/Sao_Paulo America/Santiago America/Asuncion
America/Scoresbysund America/Nuuk America/Caracas America/Metlakatla Asia/Kathmandu Asia/Tehran Asia/Jerusalem
Asia/Beirut Asia/Kolkata Asia/Pyongyang Africa/Cairo Africa/Casablanca Africa/Monrovia Africa/Windhoek
Australia/Sydney Australia/Lord_Howe Australia/Eucla Pacific/Auckland Pacific/Chatham Pacific/Apia Pacific/Easter
Pacific/Norfolk Antarctica/Troll UTC""".split()
# What happened once: a day left out, offsets with seconds, half an hour back and forth, a change at 00:01.
ONCE = (
    ("Pacific/Apia", 2011), ("Pacific/Fakaofo", 2011), ("Pacific/Kwajalein", 1993), ("Pacific/Kiritimati", 1994),
    ("Africa/Monrovia", 1972), ("Asia/Pyongyang", 2015), ("Asia/Pyongyang", 2018), ("America/Caracas", 2016),
    ("Asia/Kathmandu", 1986), ("America/St_Johns", 1988), ("America/Sao_Paulo", 2018), ("Africa/Cairo", 2014),
    ("Antarctica/Casey", 2010), ("America/Scoresbysund", 2024), ("Asia/Singapore", 1982),
)


def values(field, low, high):
    found = set()
    for item in field.split(","):
        item, _, step = item.partition("/")
        first, _, last = (f"{low}-{high}" if item == "*" else item).partition("-")
        found.update(range(int(first), int(last or first) + 1, int(step or 1)))
    return found


def is_fixed(cron):
    return not set("*/") & set(cron.split()[1])


class Zone:
    def __init__(self, name):
        self.info = zoneinfo.ZoneInfo(name)

    def local(self, second):
        return datetime.datetime.fromtimestamp(second, self.info).replace(tzinfo=None)

    def offset(self, second):
        return datetime.datetime.fromtimestamp(second, self.info).utcoffset().total_seconds()

    def guess(self, local, fold):
        """By the offset before a change (fold 0) or after it (1)."""
        return int(local.replace(tzinfo=self.info, fold=fold).timestamp())

    def instants(self, local):
        found = {self.guess(local, fold) for fold in (0, 1)}
        return sorted(second for second in found if self.local(second) == local)

    def gap_end(self, local):
        """The first second of the clock after the gap in which `local` lies."""
        low, high = sorted(self.guess(local, fold) for fold in (0, 1))
        while low + 1 < high:
            middle = (low + high) // 2
            if self.local(middle) < local:
                low = middle
            else:
                high = middle
        return high


def fixed(zone, minutes, hours, first, last):
    found = {}
    day = (zone.local(first) - datetime.timedelta(days=3)).date()
    while day <= (zone.local(last) + datetime.timedelta(days=2)).date():
        for hour, minute in itertools.product(sorted(hours), sorted(minutes)):
            local = datetime.datetime(day.year, day.month, day.day, hour, minute)
            at = zone.instants(local)
            if at:
                found.setdefault(at[0], []).append("f" if len(at) > 1 else "")
            else:
                found.setdefault(zone.gap_end(local), []).append("m")
        day += datetime.timedelta(days=1)
    for second, marks in sorted(found.items()):
        if first < second <= last:
            real = [mark for mark in marks if mark != "m"]
            yield second, (real or ["m"])[0] + (f"+{len(marks) - 1}" if len(marks) > 1 else "")


def elapsed(zone, minutes, hours, first, last):
    for second in range(first + 60, last + 1, 60):
        local = zone.local(second)
        if local.minute in minutes and local.hour in hours:
            at = zone.instants(local)
            yield second, "" if len(at) < 2 else "fs"[at.index(second)]


def due_times(zone, cron, first, last):
    """Pairs of an instant and its mark, in (first, last]; of the line only minute and hour count."""
    minute, hour = cron.split()[:2]
    rule = fixed if is_fixed(cron) else elapsed
    return rule(zone, values(minute, 0, 59), values(hour, 0, 23), first, last)


def line(name, cron, first, last):
    words = []
    for second, mark in due_times(Zone(name), cron, first, last):
        after = second - first
        words.append((f"{after // 60}" if after % 60 == 0 else f".{after}") + mark)
    return "\t".join((name, cron, str(first), str(last), " ".join(words)))


def changes(name, year):
    zone = Zone(name)
    day = int(datetime.datetime(year, 1, 1, tzinfo=UTC).timestamp())
    for start in range(day, day + 367 * 86400, 21600):
        if zone.offset(start) != zone.offset(start + 21600):
            low, high = start, start + 21600
            while low + 1 < high:
                middle = (low + high) // 2
                if zone.offset(middle) == zone.offset(start):
                    low = middle
                else:
                    high = middle
            yield high


def whole_minutes(name, first, last):
    zone = Zone(name)
    return all(zone.offset(second) % 60 == 0 for second in (first, last))


def main():
    pairs = sorted({(name, year) for name in ZONES for year in YEARS} | set(ONCE))
    for name, year in pairs:
        at = list(changes(name, year)) or [int(datetime.datetime(year, 7, 1, tzinfo=UTC).timestamp())]
        for change, (cron, window) in itertools.product(at, CRONS):
            first, last = change // 60 * 60 - window, change // 60 * 60 + window
            if is_fixed(cron) or whole_minutes(name, first, last):
                print(line(name, cron, first, last))


if __name__ == "__main__":
    main()
