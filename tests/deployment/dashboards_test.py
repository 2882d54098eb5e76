#!/usr/bin/python3
"""Dashboards, rules and alerts against a real Prometheus that scrapes real daemons. Run by ctest."""
import shutil
import sys
import time
import unittest

from live_prometheus import *

sys.path.insert(0, str(DEPLOY / "grafana"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import make_alert_tests
import make_dashboards

INTERVAL = "250ms"  # of scrapes
RATE = "2s"         # of rates over them


@unittest.skipIf(shutil.which("promtool") is None, "there is no promtool: deploy/packages.sh deployment")
class RulesTest(unittest.TestCase):
    def promtool(self, *arguments):
        done = subprocess.run(["promtool", *arguments], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_what_is_deployed_is_valid(self):
        self.promtool("check", "config", DEPLOY / "prometheus" / "prometheus.yml")

    def test_alerts_fire_when_they_should_and_not_just_short_of_it(self):
        tests = scratch_path("") / "alerts.json"
        tests.write_text(make_alert_tests.document(DEPLOY / "prometheus"))
        self.promtool("test", "rules", tests)

    def alerts(self):
        text = (DEPLOY / "prometheus" / "alerts.yml").read_text()
        return re.findall(r"alert: (\w+)", text), re.findall(r"runbook: (\S+)", text)

    def test_every_alert_is_tested_and_has_its_section_in_the_guide(self):
        names, runbooks = self.alerts()
        self.assertEqual(set(names), set(make_alert_tests.CASES))
        self.assertEqual(len(names), len(runbooks))
        headings = {re.sub(r"[^a-z0-9 -]", "", line.lstrip("# ").lower()).replace(" ", "-")
                    for line in (DEPLOY / "README.md").read_text().splitlines() if line.startswith("#")}
        for runbook in runbooks:
            path, _, section = runbook.partition("#")
            self.assertEqual(path, "deploy/README.md")
            self.assertIn(section, headings)


class DashboardsTest(unittest.TestCase):
    def test_they_are_what_make_dashboards_writes(self):
        for name, text in make_dashboards.dashboards().items():
            self.assertEqual((DEPLOY / "grafana" / "dashboards" / name).read_text(), text,
                             "run deploy/grafana/make_dashboards.py")

    def test_panels_have_ids_and_places_of_their_own(self):
        uids = [dashboard["uid"] for dashboard in read_dashboards().values()]
        self.assertEqual(len(uids), len(set(uids)))
        for name, dashboard in read_dashboards().items():
            ids = [panel["id"] for panel in dashboard["panels"]]
            self.assertEqual(len(ids), len(set(ids)), name)
            taken = set()
            for panel in dashboard["panels"]:
                at = panel["gridPos"]
                self.assertLessEqual(at["x"] + at["w"], 24, (name, panel["title"]))
                cells = {(x, y) for x in range(at["x"], at["x"] + at["w"])
                         for y in range(at["y"], at["y"] + at["h"])}
                self.assertFalse(cells & taken, (name, panel["title"]))
                taken |= cells
            variables = {each["name"] for each in dashboard["templating"]["list"]}
            self.assertEqual(variables, {"datasource", "model", "instance"})


@unittest.skipIf(shutil.which("prometheus") is None, "there is no Prometheus: deploy/packages.sh deployment")
class LiveTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemons = []
        for number in range(2):
            daemon = cls.enterClassContext(Tlind(
                MODELS / "tconst-demo", f"--session_dir={scratch_path('sessions')}", "--slots=4",
                "--max_queued_requests=8", "--log_requests=false"))
            cls.daemons.append(daemon)
        cls.prometheus = cls.enterClassContext(Prometheus(cls.daemons, INTERVAL))
        traffic = Traffic(cls.daemons, rate=20)
        cls.addClassCleanup(traffic.stop)
        cls.traffic = traffic

    def missing(self, expressions):
        """Those that Prometheus has no number for in the last seconds; raises where it does not
        understand one."""
        end = time.time()

        def has_numbers(expression):
            answer = self.prometheus.ask("query_range", query=expression, start=end - 3, end=end, step="0.5")
            return any(value != "NaN" for series in answer["result"] for _, value in series["values"])
        return [expression for expression in expressions if not has_numbers(expression)]

    def wait_for_data(self, expressions):
        def all_there():
            self.traffic.one_of_each()
            return not self.missing(expressions)
        try:
            wait_until(all_there, "every panel to have data")
        except AssertionError:
            self.fail(f"no data: {self.missing(expressions)}")

    def test_every_panel_shows_data(self):
        expressions = [expression for dashboard in read_dashboards().values()
                       for _, _, expression in queries(dashboard, RATE)]
        self.assertGreater(len(expressions), 60)
        self.wait_for_data(expressions)

    def test_variables_find_the_model_and_the_replicas(self):
        wanted = {daemon.metrics_address for daemon in self.daemons}

        def found():
            rows = self.prometheus.ask("query", query="tlin_slots{model=~\".*\"}")["result"]
            return ({row["metric"]["model"] for row in rows} == {"tconst-demo"} and
                    {row["metric"]["instance"] for row in rows} == wanted)
        wait_until(found, "both daemons' slots")

    def test_rules_are_evaluated_and_a_well_daemon_fires_nothing(self):
        def evaluated():
            groups = self.prometheus.ask("rules")["groups"]
            rules = [rule for group in groups for rule in group["rules"]]
            return rules if all(rule["health"] == "ok" for rule in rules) else None
        rules = wait_until(evaluated, "all rules to be evaluated")
        self.assertEqual(len(rules), 22)
        firing = {rule["name"] for rule in rules if rule.get("state") == "firing"}
        self.assertEqual(firing, set())

    def test_every_metric_of_rules_and_dashboards_exists(self):
        texts = [path.read_text() for path in (DEPLOY / "prometheus" / "rules.yml",
                                               DEPLOY / "prometheus" / "alerts.yml",
                                               *(DEPLOY / "grafana" / "dashboards").glob("*.json"))]
        expressions = [line for text in texts for line in text.splitlines() if '"expr"' in line or "expr:" in line]
        names = set(re.findall(r"(?<![:\w])(?:tlin|process)_[a-z_]+", "\n".join(expressions)))
        self.assertGreater(len(names), 25)
        scrape = self.daemons[0].scrape()
        plain = {re.sub("_(bucket|count|sum)$", "", name) for name in names}
        self.assertEqual(plain - set(scrape.types), set())


if __name__ == "__main__":
    unittest.main()
