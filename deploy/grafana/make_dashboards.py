#!/usr/bin/env python3
"""Writes the dashboards in dashboards/: one line here is a panel there.

    deploy/grafana/make_dashboards.py

Change a dashboard here, or in Grafana and then here: the tests hold the two together.
"""
import json
import pathlib

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
ONE = 'model=~"$model",instance=~"$instance"'
WIDTH, HEIGHT = 24, 8


def rate(metric, by="", more=""):
    """Per second, of the chosen models and replicas together, or `by` a label."""
    return f"sum{' by (' + by + ')' if by else ''} (rate({metric}{{{ONE}{more}}}[$__rate_interval]))"


def quantiles(metric, more=""):
    return [(f"histogram_quantile({q}, {rate(metric + '_bucket', 'le', more)})", f"p{round(q * 100)}")
            for q in (0.5, 0.9, 0.99)]


def total(metric, by="", more=""):
    return f"sum{' by (' + by + ')' if by else ''} ({metric}{{{ONE}{more}}})"


def panel(kind, title, queries, unit="short", about="", width=8, **options):
    targets = [{"refId": chr(ord("A") + i), "datasource": SOURCE, "expr": expr, "legendFormat": legend}
               for i, (expr, legend) in enumerate(queries)]
    return {"type": kind, "title": title, "description": about, "datasource": SOURCE,
            "targets": targets, "width": width,
            "fieldConfig": {"defaults": {"unit": unit, "min": 0, **options}, "overrides": []}}


def lines(title, queries, unit="short", about="", width=8):
    return panel("timeseries", title, queries, unit, about, width)


def stacked(title, queries, unit="short", about="", width=8):
    return panel("timeseries", title, queries, unit, about, width,
                 custom={"stacking": {"mode": "normal"}, "fillOpacity": 30})


def figure(title, expr, unit="short", about="", width=4):
    return panel("stat", title, [(expr, "")], unit, about, width)


def heatmap(title, metric, about="", width=8):
    made = panel("heatmap", title,
                 [(f"sum by (le) (increase({metric}_bucket{{{ONE}}}[$__rate_interval]))", "{{le}}")],
                 "s", about, width)
    made["targets"][0]["format"] = "heatmap"
    made["options"] = {"calculate": False, "yAxis": {"unit": "s"}, "color": {"scheme": "Oranges"}}
    return made


SERVING = ("tlin-serving", "tlin: serving", [
    figure("Requests a second", rate("tlin_requests_total"), "reqps"),
    figure("New tokens a second", rate("tlin_generated_tokens_total"), "short"),
    figure("First token, p99", quantiles("tlin_time_to_first_token_seconds")[2][0], "s"),
    figure("Between tokens, p99", quantiles("tlin_inter_token_latency_seconds")[2][0], "s"),
    figure("Waiting", total("tlin_requests_waiting")),
    figure("Preemptions", total("tlin_preemptions_total"), about="Zero, always."),
    lines("Time to the first token", quantiles("tlin_time_to_first_token_seconds"), "s",
          "From submission. Grows with the prompt and with the queue."),
    lines("Between two tokens", quantiles("tlin_inter_token_latency_seconds"), "s",
          "A sync shows as p99: one token in as many as the generation window has."),
    lines("Whole requests", quantiles("tlin_request_duration_seconds"), "s"),
    heatmap("Time to the first token", "tlin_time_to_first_token_seconds"),
    heatmap("Between two tokens", "tlin_inter_token_latency_seconds"),
    heatmap("Whole requests", "tlin_request_duration_seconds"),
    stacked("Tokens a second", [
        (rate("tlin_generated_tokens_total"), "made"), (rate("tlin_prompt_tokens_total"), "of prompts"),
        (rate("tlin_wasted_tokens_total"), "made for nobody")]),
    lines("Queue", [(total("tlin_requests_waiting"), "waiting"), (total("tlin_requests_running"), "running")]),
    lines("Time in the queue", [*quantiles("tlin_queue_time_seconds"),
                                (f"max (tlin_oldest_waiting_seconds{{{ONE}}})", "the oldest, now")], "s"),
    stacked("Outcomes a second", [(rate("tlin_requests_total", "outcome"), "{{outcome}}")], "reqps",
            "rejected: the queue was full, or the daemon was ending. error: a fault of the server's.", 12),
    lines("Sequences in a step", quantiles("tlin_batch_rows"), "short",
          "How many decode together; more share the reading of the weights.", 12),
    lines("Late first tokens", [('model:tlin_first_token_late:ratio_rate5m{model=~"$model"}', "5 min, {{model}}"),
                                ('model:tlin_first_token_late:ratio_rate1h{model=~"$model"}', "1 h, {{model}}")],
          "percentunit", "The part above 2.5 s; 1 % is promised.", 12),
    lines("Late tokens", [('model:tlin_inter_token_late:ratio_rate5m{model=~"$model"}', "5 min, {{model}}"),
                          ('model:tlin_inter_token_late:ratio_rate1h{model=~"$model"}', "1 h, {{model}}")],
          "percentunit", "The part above 0.1 s; 1 % is promised.", 12),
])

SESSIONS = ("tlin-sessions", "tlin: sessions and memory", [
    figure("Slots", total("tlin_slots"), about="Requests that run at once."),
    figure("Slots used", total("tlin_slots_used")),
    figure("Most ever used", total("tlin_slots_high_water")),
    figure("Bytes of a session", f"max (tlin_session_cache_bytes{{{ONE}}})", "bytes",
           "Constant, whatever its length."),
    figure("Slots or history in use", f"max (tlin_cache_usage_ratio{{{ONE}}})", "percentunit"),
    figure("Device memory free", f'sum (tlin_device_memory_bytes{{instance=~"$instance",kind="free"}})', "bytes"),
    stacked("Sessions", [(total("tlin_sessions", "state"), "{{state}}")], "short",
            "active: a request is on it. idle: its state is in a slot. stored: elsewhere."),
    stacked("Memory by pool", [(total("tlin_memory_bytes", "pool"), "{{pool}}")], "bytes",
            "Arithmetic: it does not grow with the length of conversations."),
    lines("Memory of the process", [
        ('sum (process_resident_memory_bytes{instance=~"$instance"})', "resident"),
        (total("tlin_memory_bytes"), "what the pools add up to"),
        ('sum (instance:tlin_memory_unaccounted:bytes{instance=~"$instance"})', "beside them")], "bytes"),
    lines("Steps of a sequence", [(rate("tlin_cache_hits_total"), "cache hits"),
                                  (rate("tlin_cache_misses_total"), "syncs")], "ops",
          "A sync reads the history, once in as many tokens as the generation window has."),
    lines("History tokens read by syncs", [(rate("tlin_synced_tokens_total"), "a second")]),
    lines("A sync, beside a step", [
        *((expr, f"sync {name}") for expr, name in quantiles("tlin_sync_duration_seconds")),
        *((f"histogram_quantile(0.5, {rate('tlin_step_duration_seconds_bucket', 'le,phase')})",
           "step p50, {{phase}}"),)], "s",
        "A sync is cut into slices that steps carry: its time is its session's, not the others'."),
    lines("Prefix cache", [(rate("tlin_prefix_cache_queries_total"), "syncs that could share"),
                           (rate("tlin_prefix_cache_hits_total"), "syncs that did")], "ops"),
    lines("Prompt tokens from kept states", [(rate("tlin_cached_tokens_total"), "from the cache"),
                                             (rate("tlin_prompt_tokens_total"), "all")], "short"),
    lines("Session store, p99", [
        (f"histogram_quantile(0.99, {rate('tlin_session_store_seconds_bucket', 'le,op')})", "{{op}}")], "s"),
    lines("Session store, operations", [(rate("tlin_session_store_seconds_count", "op"), "{{op}}")], "ops", width=12),
    lines("Session store, errors", [(rate("tlin_session_store_errors_total", "op"), "{{op}}")], "ops", width=12),
])

FLEET = ("tlin-fleet", "tlin: fleet", [
    panel("table", "Replicas", [('tlin_build_info{instance=~"$instance"}', "")], width=16),
    figure("Replicas that answer", 'sum (up{job="tlin",instance=~"$instance"})'),
    figure("Draining", 'sum (tlin_draining{instance=~"$instance"})'),
    lines("Requests a second", [(rate("tlin_requests_total", "instance"), "{{instance}}")], "reqps"),
    lines("New tokens a second", [(rate("tlin_generated_tokens_total", "instance"), "{{instance}}")]),
    lines("Running", [(total("tlin_requests_running", "instance"), "{{instance}}")]),
    lines("Waiting", [(total("tlin_requests_waiting", "instance"), "{{instance}}")]),
    lines("Slots in use", [(f"max by (instance) (tlin_cache_usage_ratio{{{ONE}}})", "{{instance}}")], "percentunit"),
    lines("First token, p99", [(
        "histogram_quantile(0.99, " + rate("tlin_time_to_first_token_seconds_bucket", "le,instance") + ")",
        "{{instance}}")], "s"),
    lines("Sessions", [(total("tlin_sessions", "instance"), "{{instance}}")]),
    lines("Resident memory", [('process_resident_memory_bytes{instance=~"$instance"}', "{{instance}}")], "bytes"),
    lines("Since the last step", [(f"max by (instance) (tlin_seconds_since_last_step{{{ONE}}})", "{{instance}}")], "s",
          "0 while there is no work; it grows only where the engine is stuck."),
])


def variable(name, query):
    return {"name": name, "type": "query", "datasource": SOURCE, "definition": query,
            "query": {"query": query, "refId": name}, "refresh": 2, "multi": True, "includeAll": True,
            "allValue": ".*", "current": {"text": "All", "value": "$__all"}, "sort": 1}


def place(panels):
    """From left to right, a row after the other."""
    x = y = 0
    placed = [dict(each) for each in panels]
    for number, each in enumerate(placed, 1):
        width = each.pop("width")
        height = 4 if each["type"] == "stat" else HEIGHT
        if x + width > WIDTH:
            x, y = 0, y + row
        row = height if x == 0 else max(row, height)
        each.update(id=number, gridPos={"x": x, "y": y, "w": width, "h": height})
        x += width
    return placed


def dashboard(uid, title, panels):
    return {"uid": uid, "title": title, "tags": ["tlin"], "schemaVersion": 38, "editable": True,
            "refresh": "10s", "time": {"from": "now-30m", "to": "now"}, "timezone": "browser",
            "templating": {"list": [
                {"name": "datasource", "type": "datasource", "query": "prometheus",
                 "current": {"text": "Prometheus", "value": "prometheus"}},
                variable("model", "label_values(tlin_slots, model)"),
                variable("instance", 'label_values(tlin_slots{model=~"$model"}, instance)')]},
            "links": [{"type": "dashboards", "tags": ["tlin"], "title": "tlin", "asDropdown": False,
                       "keepTime": True, "includeVars": True}],
            "annotations": {"list": []}, "panels": place(panels)}


def dashboards():
    """file name -> its text."""
    return {f"{uid.removeprefix('tlin-')}.json": json.dumps(dashboard(uid, title, panels), indent=1) + "\n"
            for uid, title, panels in (SERVING, SESSIONS, FLEET)}


def main():
    for name, text in dashboards().items():
        (HERE / "dashboards" / name).write_text(text)


if __name__ == "__main__":
    main()
