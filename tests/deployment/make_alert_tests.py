"""Writes what `promtool test rules` is to run: for each alert a series of events that has to fire it, and
one beside it, just short of that, that must not. YAML by hand would repeat each message twice.

    /usr/bin/python3 tests/deployment/make_alert_tests.py FOLDER_OF_THE_RULES
"""
import json
import pathlib
import sys

LABELS = 'job="tlin",instance="a",model="m"'
INSTANCE = {"instance": "a", "job": "tlin"}
MODEL = {**INSTANCE, "model": "m"}


def series(name, values, labels=LABELS):
    return {"series": f"{name}{{{labels}}}", "values": values}


def latency(metric, bound, good, total, minutes):
    """`good` of `total` observations a minute are within `bound`."""
    return [series(f"{metric}_bucket", f"0+{good}x{minutes}", f'{LABELS},le="{bound}"'),
            series(f"{metric}_count", f"0+{total}x{minutes}")]


def first_token(good, minutes):
    return latency("tlin_time_to_first_token_seconds", "2.5", good, 1000, minutes)


def inter_token(good, minutes):
    return latency("tlin_inter_token_latency_seconds", "0.1", good, 1000, minutes)


# alert -> (severity, labels, series that fire, series that do not, minute, summary)
CASES = {
    "TlinFirstTokenBudgetBurnsFast": (
        "page", {"model": "m"}, first_token(840, 90), first_token(870, 90), 80,
        "m: 16% of first tokens took more than 2.5 s in the last hour"),
    "TlinFirstTokenBudgetBurns": (
        "ticket", {"model": "m"}, first_token(930, 420), first_token(950, 420), 400,
        "m: 7% of first tokens took more than 2.5 s in the last six hours"),
    "TlinInterTokenBudgetBurnsFast": (
        "page", {"model": "m"}, inter_token(840, 90), inter_token(870, 90), 80,
        "m: 16% of tokens came more than 0.1 s after the one before in the last hour"),
    "TlinInterTokenBudgetBurns": (
        "ticket", {"model": "m"}, inter_token(930, 420), inter_token(950, 420), 400,
        "m: 7% of tokens came more than 0.1 s after the one before in the last six hours"),
    "TlinQueueFilling": (
        "ticket", MODEL,
        [series("tlin_requests_waiting", "20x30"), series("tlin_slots", "16x30")],
        [series("tlin_requests_waiting", "20x8 3 20x20"), series("tlin_slots", "16x30")], 12,
        "a: 20 requests wait, more than run at once, for ten minutes"),
    "TlinRequestsRefused": (
        "page", MODEL,
        [series("tlin_requests_total", "0+60x30", LABELS + ',outcome="rejected"'),
         series("tlin_draining", "0x30", 'job="tlin",instance="a"')],
        [series("tlin_requests_total", "0+60x30", LABELS + ',outcome="rejected"'),
         series("tlin_draining", "1x30", 'job="tlin",instance="a"')], 15,
        "a: the queue is full, 1 requests a second are refused"),
    "TlinSlotsExhausted": (
        "ticket", MODEL,
        [series("tlin_cache_usage_ratio", "1x30"), series("tlin_requests_waiting", "2x30")],
        [series("tlin_cache_usage_ratio", "1x30"), series("tlin_requests_waiting", "2x18 0 2x20")], 20,
        "a: every slot, or all of the history, has been in use for 15 minutes while requests wait"),
    "TlinDown": (
        "page", INSTANCE,
        [series("up", "1x5 0x10", 'job="tlin",instance="a"')],
        [series("up", "1x5 0 1x10", 'job="tlin",instance="a"')], 8,
        "a has not answered for a minute"),
    "TlinEngineStuck": (
        "page", MODEL,
        [series("tlin_seconds_since_last_step", "0 0 25 85 145 205")],
        [series("tlin_seconds_since_last_step", "0 0 15 19 0 0")], 3,
        "a: the engine has had work and made no step for 1m 25s"),
    "TlinRequestsFailing": (
        "page", MODEL,
        [series("tlin_requests_total", "0x10 5x10", LABELS + ',outcome="error"')],
        [series("tlin_requests_total", "0+5x20", LABELS + ',outcome="invalid"')], 12,
        "a: 5 requests ended with a fault of the server's in 5 minutes"),
    "TlinSessionStoreFailing": (
        "page", {**MODEL, "op": "put"},
        [series("tlin_session_store_errors_total", "0x10 4x10", LABELS + ',op="put"')],
        [series("tlin_session_store_errors_total", "4x20", LABELS + ',op="put"')], 13,
        "a: the session store fails at put, 4 times in 5 minutes"),
    "TlinPreempted": (
        "ticket", MODEL, [series("tlin_preemptions_total", "0x5 1x5")],
        [series("tlin_preemptions_total", "0x10")], 7,
        "a: a request has lost its slot, which never happens"),
    "TlinMemoryOffItsArithmetic": (
        "ticket", INSTANCE,
        [series("process_resident_memory_bytes", "1400000000x20", 'job="tlin",instance="a"'),
         series("tlin_memory_bytes", "700000000x20", LABELS + ',pool="weights"'),
         series("tlin_memory_bytes", "200000000x20", LABELS + ',pool="session_cache"')],
        [series("process_resident_memory_bytes", "1100000000x20", 'job="tlin",instance="a"'),
         series("tlin_memory_bytes", "700000000x20", LABELS + ',pool="weights"'),
         series("tlin_memory_bytes", "200000000x20", LABELS + ',pool="session_cache"')], 15,
        "a: 476.8MiB of memory beside what the pools add up to"),
}


def test(alert, inputs, minute, expected):
    return {"interval": "1m", "name": alert, "input_series": inputs,
            "alert_rule_test": [{"eval_time": f"{minute}m", "alertname": alert,
                                 "exp_alerts": expected}]}


def tests():
    for alert, (severity, labels, fires, spared, minute, summary) in CASES.items():
        runbook = alert.lower().removesuffix("fast")
        annotations = {"summary": summary, "runbook": f"deploy/README.md#{runbook}"}
        yield test(alert, fires, minute, [{"exp_labels": {**labels, "severity": severity},
                                           "exp_annotations": annotations}])
        yield test(alert, spared, minute, [])


def document(rules):
    """What promtool reads; `rules` is the folder of the rules."""
    return json.dumps({"rule_files": [str(rules / "rules.yml"), str(rules / "alerts.yml")],
                       "evaluation_interval": "1m", "tests": list(tests())}, indent=1)


def main():
    print(document(pathlib.Path(sys.argv[1]).resolve()))


if __name__ == "__main__":
    main()
