"""Runs one case of the Eclipse Paho interoperability suites (eclipse/paho.mqtt.testing).

    python3 paho_testing.py FOLDER MODULE list
    python3 paho_testing.py FOLDER MODULE run CASE tcp://HOST:PORT [ws://…]

The suites' own programs cannot be told a port (the option stays in the argument list that unittest reads), so their
modules are imported and given the names that their main programs would have set.
"""

import importlib
import logging
import sys
import unittest
from urllib.parse import urlsplit

TOPICS = ("TopicA", "TopicA/B", "Topic/C", "TopicA/C", "/TopicA")
FILTERS = ("TopicA/+", "+/C", "#", "/#", "/+", "+/+", "TopicA/#")


def main() -> int:
    folder, module_name, verb, *rest = sys.argv[1:]
    sys.path.insert(0, folder)
    module = importlib.import_module(module_name)
    if verb == "list":
        print("\n".join(unittest.defaultTestLoader.getTestCaseNames(module.Test)))
        return 0
    case, tcp = rest[:2]
    configure(module, urlsplit(tcp))
    logging.getLogger().setLevel(logging.ERROR)
    result = unittest.TextTestRunner(stream=sys.stdout).run(unittest.TestSuite([module.Test(case)]))
    if result.wasSuccessful():
        return 0
    for _, trace in result.failures + result.errors:
        print(trace.strip().splitlines()[-1])
    return 1


def configure(module, address) -> None:
    module.host = address.hostname
    module.port = address.port
    module.topic_prefix = "client_test5/"
    module.topics = TOPICS
    module.wildtopics = FILTERS
    module.nosubscribe_topics = ("test/nosubscribe",)


if __name__ == "__main__":
    sys.exit(main())
