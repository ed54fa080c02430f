"""Cases in a browser: MQTT.js on a page of headless Chromium, over ws:// and wss://, directly and behind nginx."""

import os
import pathlib
import shutil
import socket
import subprocess

from cases import Skip, case, eventually, expect, main
from nginx_cases import WEBSOCKET, websocket_server
from own_broker import OwnBroker
from own_nginx import OwnNginx
from tls_cases import encrypted

VERSIONS = {"v311": 4, "v5": 5}
ALL = "18 of 18 messages came back whole"


def page(url, version, port=0):
    """What a page at that port of this machine says, and whether it got through."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        raise Skip("no Chromium is installed (package chromium)")
    if not pathlib.Path(os.environ.get("NODE_PATH", "/nowhere"), "puppeteer-core").is_dir():
        raise Skip("the packages of package.json are not installed")
    script = pathlib.Path(__file__).with_name("browser.cjs")
    environment = os.environ | {"PAGE_PORT": str(port)}
    words = ["node", str(script), chromium, url, str(version)]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=55, env=environment)
    print(ended.stdout, ended.stderr)
    return ended.stdout.strip().splitlines()[-1:], ended.returncode


@case(each=VERSIONS)
def ws(broker, version):
    expect(page(broker.ws, version), ([ALL], 0), "what the page says")


@case
def wss(broker):
    with encrypted() as broker:
        url = f"wss://127.0.0.1:{broker.ports['wss']}/mqtt"
        expect(page(url, 5), ([ALL], 0), "what the page says")


@case
def behind_nginx(broker):
    with OwnBroker(WEBSOCKET) as broker, OwnNginx(1, http=websocket_server(broker, ";")) as nginx:
        expect(page(f"ws://127.0.0.1:{nginx.ports[0]}/mqtt", 5), ([ALL], 0), "what the page says")


@case
def only_pages_of_a_listed_origin_get_through(broker):
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    listener = '[[listener]]\nurl = "ws://127.0.0.1:0/mqtt"\nallow_anonymous = true\n'
    with OwnBroker(f'{listener}origins = ["http://127.0.0.1:{port}"]\n[log]\nfilter = "debug"\n') as broker:
        url = f"ws://127.0.0.1:{broker.ports['ws']}/mqtt"
        expect(page(url, 5, port), ([ALL], 0), "what the listed page says")
        said, code = page(url, 5)
        expect(code, 3, f"another page fails: {said}")
        eventually(lambda: "origin" in broker.log.read_text(), "the broker says why")


if __name__ == "__main__":
    main()
