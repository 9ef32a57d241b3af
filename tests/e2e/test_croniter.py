"""Due times against another implementation: croniter, where both define what a line means.

They differ, on purpose, where clocks are changed, and where one of the two fields of days names all of them without being
`*`; so lines are compared in UTC, and by noon where a zone has summer time, and with no such field beside another one.
"""

import datetime
import os
import random

from lib import QUICK, Sandbox, Skip, check, equal, main, story

try:
    from croniter import croniter
except ImportError:
    croniter = None

UTC = datetime.timezone.utc
SEED = int(os.environ.get("STOKER_TEST_SEED") or 20261126)  # fixed: what croniter gets wrong is not for us to find
MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
WEEKDAYS = "sun mon tue wed thu fri sat".split()


def field(low, high, names=None):
    first = random.randint(low, high)
    last = random.randint(first, high)
    kind = random.randrange(5)
    if kind == 0:
        return f"{first}-{last}"
    if kind == 1:
        return f"{first}-{last}/{random.randint(2, 5)}" if last > first else str(first)
    if kind == 2:
        return ",".join(str(one) for one in sorted({first, last, random.randint(low, high)}))
    if names and kind == 3:
        return names[first - low]
    return str(first)


def cron_line():
    """Seldom enough for years of them to be compared."""
    minute, hour = field(0, 59), random.choice(("*", "*/6", field(0, 23)))
    month = random.choice(("*", "*", "*/3", field(1, 12, MONTHS)))
    day, weekday = random.choice((("*", "*"), (field(1, 31), "*"), ("*/9", "*"), ("l", "*"), ("*", field(0, 6, WEEKDAYS)),
                                  (field(1, 31), field(0, 6, WEEKDAYS)), ("*", f"{random.choice(WEEKDAYS)}#{random.randint(1, 5)}"),
                                  ("*", f"l{random.randint(0, 6)}")))
    return f"{minute} {hour} {day} {month} {weekday}"


def ours(line):
    """croniter writes the last Friday as l5."""
    head, weekday = line.rsplit(" ", 1)
    return f"{head} {weekday[1:]}L" if weekday[0] == "l" else line.replace(" l ", " L ")


def fires(line):
    day, weekday = line.split()[2], line.split()[4]
    if day != "*" and weekday != "*" and (day == "1-31" or weekday in ("0-6", "sun-sat")):
        return False
    try:
        return croniter.is_valid(line) and croniter(line, datetime.datetime(2000, 1, 1, tzinfo=UTC)).get_next() > 0
    except Exception:  # it says so in many ways
        return False


def instant(text):
    return int(datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp())


def compare(box, lines, zone, start):
    box.file("c.yaml", f"schedule: {{timezone: {zone}, cron: {[ours(line) for line in lines]}}}\nsteps: {{a: {{run: x}}}}\n")
    begin = start.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    answer = box.json("next", "c.yaml", "-n", 5000, "--from", begin)["due"]
    end = instant(answer[-1]["due"]) - 1  # that one may be cut
    for line in lines:
        found = [instant(one["due"]) for one in answer if one["cron"] == ours(line)]
        found = [at for at in found if at <= end]
        walk = croniter(line, (start - datetime.timedelta(seconds=1)).replace(tzinfo=None))  # local times, as they are
        expected = []
        while (at := int(walk.get_next(datetime.datetime).replace(tzinfo=start.tzinfo).timestamp())) <= end:
            expected.append(at)
        odd = sorted(set(found) ^ set(expected))[:3]
        check(not odd, f"'{line}' in {zone} from {begin}: at {odd} only one of the two is due")
        equal(found, expected, f"'{line}' in {zone} from {begin}")
    return len(answer)


def need_croniter():
    if croniter is None:
        raise Skip("python3-croniter is not installed")


@story("random lines in UTC are due when croniter says so")
def random_lines(box: Sandbox):
    need_croniter()
    random.seed(SEED)
    count = 0
    for _ in range(2 if QUICK else 10):
        lines = {}
        while len(lines) < 20:
            line = cron_line()
            if fires(line):
                lines[line] = True
        start = datetime.datetime(random.randint(1990, 2040), random.randint(1, 12), random.randint(1, 28), 5, 17, tzinfo=UTC)
        count += compare(box, list(lines), "UTC", start)
    check(count > 5000, f"only {count} due times were compared")


@story("days in zones with summer time are those that croniter finds")
def noon(box: Sandbox):
    need_croniter()
    import zoneinfo
    random.seed(SEED)
    for name in ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"):
        try:
            zone = zoneinfo.ZoneInfo(name)
        except zoneinfo.ZoneInfoNotFoundError:
            raise Skip("the tz database is not installed") from None
        lines = [f"{random.randint(0, 59)} {random.randint(10, 14)} {days}" for days in
                 ("* * *", "1 * *", "l * *", "* * mon-fri", "* 3,10 sun", "13 * fri", "* * l0", "* * sat#2")]
        compare(box, lines, name, datetime.datetime(random.randint(2000, 2035), 1, 1, 0, 0, tzinfo=zone))


if __name__ == "__main__":
    main()
