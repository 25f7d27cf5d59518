"""`python -m tests.chat_uis NAME PORT`: run one front end until interrupted."""

import asyncio
import signal
import sys

from tests.chat_uis.environments import InstallFailed, names, prepare
from tests.chat_uis.frontends import FrontendFailed, frontend

USAGE = """python -m tests.chat_uis NAME PORT       run a front end; prints READY when it answers
python -m tests.chat_uis --install NAME…  install the packages only
python -m tests.chat_uis --list           the names"""


async def run(name: str, port: int) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with frontend(name, port=port) as page:
        print(f"READY {page.url}", flush=True)
        await ended.wait()


def main(arguments: list[str]) -> None:
    try:
        match arguments:
            case ["--list"]:
                print("\n".join(names()))
            case ["--install", *wanted] if wanted:
                for name in wanted:
                    prepare(name)
                    print(f"installed {name}", flush=True)
            case [name, port] if port.isdigit():
                asyncio.run(run(name, int(port)))
            case _:
                sys.exit(USAGE)
    except (InstallFailed, FrontendFailed) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1:])
