// The server's own report, as the records of servers/report.py have it, and for Prometheus.
#pragma once

#include "telemetry.hpp"

// A JSON object, or the text format of Prometheus, in the making.
class Object {
  public:
    Object& raw(const char* name, const std::string& value) {
        out_ += (out_.size() > 1 ? ",\"" : "\"") + std::string(name) + "\":" + value;
        return *this;
    }
    Object& add(const char* name, int64_t value) { return raw(name, std::to_string(value)); }
    Object& maybe(const char* name, int64_t value) {
        return raw(name, value < 0 ? "null" : std::to_string(value));
    }
    Object& real(const char* name, double value) {
        char text[32];
        snprintf(text, sizeof text, "%.6g", value);
        return raw(name, text);
    }
    std::string text() const { return out_ + "}"; }

  private:
    std::string out_ = "{";
};

struct Sources {
    const std::string& backend;
    const std::string& settings;  // JSON
    int64_t started_ns, window_ns, housekeeping_cpu_us, housekeeping_switches, stack_size_bytes,
        clients_tracked;
    bool draining;
    const Gauges gauges;
    const Counters& counters;
    const StageTimes& stages;
    std::ifstream& status;
};

inline std::string counters_json(const Sources& from) {
    const Counters& c = from.counters;
    Object by_status, out;
    int64_t answered = 0;
    for (int status = 0; status < 600; ++status)
        if (const int64_t count = c.answered[status]) {
            by_status.add(std::to_string(status).c_str(), count);
            answered += count;
        }
    out.add("answered", answered).raw("answered_by_status", by_status.text());
    out.add("rejected_queue_full", c.rejected_queue_full);
    out.add("rejected_no_thread", c.rejected_no_thread).add("rejected_rate", c.answered[429]);
    out.add("timed_out", c.timed_out).add("reset", c.reset).add("abandoned", c.abandoned);
    out.add("deadlines_missed", c.deadlines_missed).add("handler_errors", c.handler_errors);
    out.add("accept_errors", c.accept_errors).add("descriptor_episodes", c.descriptor_episodes);
    out.add("metrics_taken", c.metrics_taken).add("clients_tracked", from.clients_tracked);
    out.add("held_ns", c.held_ns).add("dispatch_errors", 0);
    // Accepted is read last: none is then counted as ended without having been accepted.
    return out.add("accepted", c.accepted).text();
}

inline std::string report_json(const Sources& from) {
    const Gauges& g = from.gauges;
    Object gauges, process, stages, out;
    gauges.add("threads_created", g.threads_created).add("threads_active", g.threads_active);
    gauges.add("threads_peak", g.threads_peak).add("threads_active_ns", g.threads_active_ns);
    gauges.maybe("queue_depth", g.queue_depth).maybe("queue_depth_max", g.queue_depth_max);
    gauges.maybe("queue_wait_ns", g.queue_wait_ns);
    const Usage used(RUSAGE_SELF);
    process.add("cpu_us", used.cpu_us).add("handler_cpu_us", from.counters.handler_cpu_ns / 1000);
    process.add("housekeeping_cpu_us", from.housekeeping_cpu_us);
    process.add("voluntary_switches", used.voluntary).add("involuntary_switches", used.involuntary);
    process.add("housekeeping_switches", from.housekeeping_switches);
    process.add("minor_faults", used.minor_faults);
    process.add("rss_bytes", memory_bytes(from.status, "VmRSS"));
    process.add("rss_peak_bytes", memory_bytes(from.status, "VmHWM"));
    process.add("vms_bytes", memory_bytes(from.status, "VmSize"));
    process.add("vms_peak_bytes", memory_bytes(from.status, "VmPeak"));
    process.add("stack_size_bytes", from.stack_size_bytes);
    from.stages.each([&](const char* stage, double mean, double p50, double p99) {
        Object figures;
        figures.real("mean", mean).real("p50", p50).real("p99", p99);
        stages.raw(stage, figures.text());
    });
    out.raw("backend", '"' + from.backend + '"').add("pid", getpid()).add("monotonic_ns", now_ns());
    out.add("started_ns", from.started_ns).add("window_ns", from.window_ns);
    out.raw("gauges", gauges.text()).raw("counters", counters_json(from));
    out.raw("process", process.text()).raw("stages_us", stages.text());
    out.add("stage_rows", from.stages.count()).add("stage_rows_dropped", from.stages.dropped());
    out.raw("draining", from.draining ? "true" : "false").raw("settings", from.settings);
    return out.text();
}

// Prometheus text format 0.0.4; what there is not is left out.
inline std::string prometheus(const Sources& from) {
    std::string out, headed;
    const auto add = [&](const std::string& name, const char* kind, double value,
                         const std::string& labels = "") {
        const std::string head = "# TYPE metricstream_" + name + " " + kind + "\n";
        if (headed != head)
            out += "# HELP metricstream_" + name + " As in /report.\n" + head;
        headed = head;
        char text[40];
        snprintf(text, sizeof text, " %.17g\n", value);
        out += "metricstream_" + name + labels + text;
    };
    const auto total = [&](const char* name, const Number& count) {
        add(std::string(name) + "_total", "counter", static_cast<double>(count));
    };
    const Counters& c = from.counters;
    const Gauges& g = from.gauges;
    int64_t ended = c.timed_out + c.reset + c.abandoned;
    for (int status = 0; status < 600; ++status)
        if (const int64_t count = c.answered[status]) {
            add("answered_total", "counter", count, "{status=\"" + std::to_string(status) + "\"}");
            ended += count;
        }
    add("rejected_total", "counter", c.rejected_queue_full, "{cause=\"queue_full\"}");
    add("rejected_total", "counter", c.rejected_no_thread, "{cause=\"no_thread\"}");
    add("rejected_total", "counter", c.answered[429], "{cause=\"rate\"}");
    total("timed_out", c.timed_out);
    total("reset", c.reset);
    total("abandoned", c.abandoned);
    total("deadlines_missed", c.deadlines_missed);
    total("handler_errors", c.handler_errors);
    total("accept_errors", c.accept_errors);
    total("descriptor_episodes", c.descriptor_episodes);
    total("metrics_taken", c.metrics_taken);
    const int64_t accepted = c.accepted;
    add("accepted_total", "counter", accepted);
    add("in_progress", "gauge", accepted - ended);
    add("held_seconds_total", "counter", c.held_ns / 1e9);
    add("clients_tracked", "gauge", from.clients_tracked);
    add("threads_created_total", "counter", g.threads_created);
    add("threads_active", "gauge", g.threads_active);
    add("threads_peak", "gauge", g.threads_peak);
    if (g.queue_depth >= 0) {
        add("queue_depth", "gauge", g.queue_depth);
        add("queue_depth_max", "gauge", g.queue_depth_max);
    }
    const Usage used(RUSAGE_SELF);
    add("cpu_seconds_total", "counter", used.cpu_us / 1e6);
    add("handler_cpu_seconds_total", "counter", c.handler_cpu_ns / 1e9);
    add("context_switches_total", "counter", used.voluntary, "{kind=\"voluntary\"}");
    add("context_switches_total", "counter", used.involuntary, "{kind=\"involuntary\"}");
    add("resident_bytes", "gauge", memory_bytes(from.status, "VmRSS"));
    add("virtual_bytes", "gauge", memory_bytes(from.status, "VmSize"));
    from.stages.each([&](const std::string& stage, double, double p50, double p99) {
        const std::string labels = "{stage=\"" + stage + "\",quantile=";
        add("stage_microseconds", "gauge", p50, labels + "\"0.5\"}");
        add("stage_microseconds", "gauge", p99, labels + "\"0.99\"}");
    });
    return out;
}
