"""The command line: results on stdout, everything else on stderr.

Exit codes: 0 fine, 1 the API (or the exporter that was asked) failed, 2 wrong usage or
configuration; 130 or 143 a command was stopped before its end, by SIGINT or SIGTERM.
"""

# A command imports what it alone needs: a container asks for its health every half a minute, and
# without the service that costs half as much.

import argparse
import asyncio
import io
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from exporter import PROGRAM, __version__, logs
from exporter.config import check, load_logging
from exporter.duration import format_duration
from exporter.errors import ConfigError
from exporter.exposition import CONTENT_TYPES
from exporter.parser import Parser
from exporter.settings import Settings, options
from exporter.source import given, nearest

_DESCRIPTION = """\
Polls the White Label VPN API and serves what it says as Prometheus metrics.

    WLVPN_API_KEY=... wlvpn-exporter    serve http://localhost:11940/metrics
    wlvpn-exporter demo                 the same on a simulated fleet, no key
"""
_SOURCES = """\
Options are read from flags, WLVPN_ environment variables (--web.listen-address
is WLVPN_WEB__LISTEN_ADDRESS), .env, /run/secrets, and a YAML file
(--config.file); the first that names an option wins. `wlvpn-exporter serve
--help` lists them all. The API key is WLVPN_API_KEY or WLVPN_API_KEY_FILE.
"""
_RULES = """\
A rule is ENDPOINT:FAULT[=VALUE][:count=N][:probability=P][:retry_after=TEXT].
The first that strikes wins; the count says how often it does, and retry_after
goes with status alone.
"""

_TABLE = "table"
_SHELLS = ("bash", "zsh", "tcsh")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; gives the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Prometheus reads UTF-8, wherever we run.
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        parser, commands = parsers()
        words = words if _names_command(words) else ["serve", *words]
        _check_command(words[0], commands)
        found, unknown = parser.parse_known_args(words)
        if unknown:
            commands[found.command].refuse(unknown[0])
        return _COMMANDS[found.command](found)
    except ConfigError as error:
        for problem in error.problems:
            print(f"{PROGRAM}: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        return _give_up(error)


def _give_up(error: OSError) -> int:
    """Ends without a reader or a disk; who closed our output has seen enough."""
    # Python would try once more at exit, and fail with a traceback.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return 0
    print(f"{PROGRAM}: cannot write: {error.strerror}", file=sys.stderr)
    return 1


def _names_command(words: Sequence[str]) -> bool:
    return bool(words) and (
        not words[0].startswith("-") or words[0] in {"-h", "--help", "--version"}
    )


def _check_command(word: str, known: Iterable[str]) -> None:
    if not word.startswith("-") and word not in known:
        mend = nearest(word, known, f"see `{PROGRAM} --help`")
        raise ConfigError([f"{given(word)}: unknown command: {mend}"])


def _serve(found: argparse.Namespace) -> int:
    from exporter.service import serve  # noqa: PLC0415 - see above

    settings = load_logging(_flags(found))
    asyncio.run(serve(settings))
    return 0


def _demo(found: argparse.Namespace) -> int:
    from exporter import demo  # noqa: PLC0415 - as above

    chosen = {name: getattr(found, name) for name in ("servers", "customers", "seed", "faults")}
    asyncio.run(demo.run_demo(_flags(found), **chosen))
    return 0


def _simulate(found: argparse.Namespace) -> int:
    from exporter import demo  # noqa: PLC0415 - as above

    asyncio.run(demo.run_simulator(found))
    return 0


def _check(found: argparse.Namespace) -> int:
    settings = load_logging(_flags(found))
    targets, rules = check(settings)
    for target in targets:
        polled = ", ".join(
            f"{c.name} every {format_duration(c.options.interval)}" for c in target.collectors
        )
        _say(f"{target.account}: {target.base_url}, polling {polled or 'nothing'}")
    if settings.web.config.file:
        _say(f"{settings.web.config.file}: asks for {', '.join(sorted(rules.needs)) or 'nothing'}")
    if "passwords" in rules.needs and "TLS" not in rules.needs:
        _say("  passwords cross the network in clear: add tls_server_config")
    _say("The configuration is valid.")
    return _probe(settings) if found.probe else 0


def _probe(settings: Settings) -> int:
    from exporter.probe import Probe  # noqa: PLC0415 - as above
    from exporter.service import Service  # noqa: PLC0415 - as above

    return 0 if asyncio.run(Probe(Service(settings)).tell(_say)) else 1


def _once(found: argparse.Namespace) -> int:
    from exporter.once import poll_once  # noqa: PLC0415 - as above

    settings = load_logging(_flags(found))
    is_table = found.format == _TABLE
    if is_table and "level" not in settings.log.model_fields_set:
        logs.start("warning", settings.log.format)  # what went well stands in the table
    once = poll_once(settings, found.format)
    sys.stdout.write(once.text)
    sys.stdout.flush()
    if is_table and once.failed:
        told = f"{once.failed} of {once.polls} polls failed: see `{PROGRAM} check --probe`"
        print(f"{PROGRAM}: {told}", file=sys.stderr)
    return 1 if once.failed else 0


def _completion(found: argparse.Namespace) -> int:
    from exporter.completion import script  # noqa: PLC0415 - as above

    parser, commands = parsers()
    parser.add_options()  # those of `serve`, which may be left out
    _say(script(parser, commands.values(), found.shell))
    return 0


def _backfill(found: argparse.Namespace) -> int:
    from exporter.backfill import Order  # noqa: PLC0415 - as above
    from exporter.service import backfill  # noqa: PLC0415 - as above

    order = Order.parse(found.first, found.last, found.output, found.label)
    return asyncio.run(backfill(load_logging(_flags(found)), order))


def _healthcheck(found: argparse.Namespace) -> int:
    from exporter.health import ask  # noqa: PLC0415 - as above

    health = ask(load_logging(_flags(found)))
    _say(f"{health.url}: {health.text}")
    return 0 if health.is_alive else 1


_COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "serve": _serve,
    "demo": _demo,
    "simulate": _simulate,
    "check": _check,
    "once": _once,
    "backfill": _backfill,
    "healthcheck": _healthcheck,
    "completion": _completion,
}


def _flags(found: argparse.Namespace) -> dict[str, str]:
    names = {option.name for option in options()}
    return {name: value for name, value in vars(found).items() if name in names}


def _say(text: str) -> None:
    print(text, flush=True)


def parsers() -> tuple[Parser, Mapping[str, Parser]]:
    """The parser of everything, and those of the commands."""
    parser = Parser(
        prog=PROGRAM,
        usage="%(prog)s [command] [options]",
        description=_DESCRIPTION,
        epilog=_SOURCES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(
        title="commands, each with a --help",
        dest="command",
        metavar="command",
        prog=PROGRAM,
        parser_class=Parser,
    )

    def add(name: str, told: str, *, without: Sequence[str] = ()) -> Parser:
        command = commands.add_parser(name, help=told, description=told, allow_abbrev=False)
        command.add_options(without=without)
        return command

    everything = [option.name for option in options()]
    add("serve", "Poll and serve (the default).")
    demo = add(
        "demo",
        "Serve a simulated fleet; no key needed.",
        without=["api_key_file", "base_url", "proxy_url", "ca_file"],
    )
    simulate = add("simulate", "Run the simulated API alone.", without=everything)
    for command in (demo, simulate):
        command.add_argument("--servers", type=int, default=3500, help="Servers of the fleet.")
        command.add_argument("--customers", type=int, default=2000, help="Customers' accounts.")
        command.add_argument("--seed", type=int, default=1, help="Another seed, another fleet.")
    demo.add_argument(
        "--faults",
        action="store_true",
        help="One answer in five goes wrong, each time in another way.",
    )
    _add_simulator_flags(simulate)
    simulate.appendix = _faults
    check = add("check", "Validate the configuration.")
    check.add_argument(
        "--probe",
        action="store_true",
        help="Ask the API as well, once for each collector that is enabled: may the key read it, "
        "how long does it take, and what to do if it may not.",
    )
    once = add("once", "Poll everything once and write the metrics to stdout.")
    once.add_argument(
        "--format",
        choices=[*CONTENT_TYPES, _TABLE],
        default="text",
        help="`text`, the default, and `openmetrics` are for Prometheus, `table` is for people.",
    )
    _add_backfill_flags(add("backfill", "Write the usage of past months to files for Prometheus."))
    add("healthcheck", "Ask the exporter that runs here whether it lives, for containers.")
    completion = add(
        "completion", "Write the completion for a shell to stdout.", without=everything
    )
    completion.add_argument("shell", metavar="SHELL", choices=_SHELLS, help="For which one.")
    return parser, commands.choices


def _faults() -> str:
    from exporter.simulator import faults  # noqa: PLC0415 - as above

    return f"{_RULES}\n{faults.describe()}"


def _add_backfill_flags(backfill: Parser) -> None:
    months = (
        ("--from", "first", "begin with, such as 2026-01"),
        ("--to", "last", "end with, up to yesterday"),
    )
    for flag, name, told in months:
        backfill.add_argument(
            flag, dest=name, required=True, metavar="MONTH", help=f"The month to {told}."
        )
    backfill.add_argument(
        "--output", required=True, metavar="DIR", help="Folder for the files, one for each day."
    )
    backfill.add_argument(
        "--label",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="A label that Prometheus adds to the live series; may be repeated: "
        "--label job=wlvpn --label instance=localhost:11940.",
    )


def _add_simulator_flags(simulate: Parser) -> None:
    simulate.add_argument("--listen-address", default="127.0.0.1:11941", help="Where, host:port.")
    simulate.add_argument("--key", default="demo-key", help="The key it accepts.")
    simulate.add_argument(
        "--start",
        type=datetime.fromisoformat,
        metavar="TIME",
        help="The instant it begins at, such as 2026-01-31T23:50Z; the present by default.",
    )
    simulate.add_argument("--speed", type=float, default=1.0, help="Its seconds in one of ours.")
    simulate.add_argument(
        "--fault",
        action="append",
        default=[],
        help="A fault by rule, such as servers:status=503:count=3; may be repeated.",
    )
