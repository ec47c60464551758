// What a server knows of itself. No lock is taken on the way of a request: numbers are atomic, and
// the stage times of a request are one row of a ring.
#pragma once

#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

constexpr const char* STAGES[] = {"dispatch", "read",     "parse", "rate_limit",
                                  "decode",   "validate", "write", "close"};
constexpr size_t STAGE_COUNT = 8;
constexpr size_t KEPT_ROWS = 256 * 1024;  // the newest; a longer window says how many it dropped

inline int64_t clock_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}
inline int64_t now_ns() { return clock_ns(CLOCK_MONOTONIC); }
inline int64_t thread_cpu_ns() { return clock_ns(CLOCK_THREAD_CPUTIME_ID); }

using Number = std::atomic<int64_t>;

// Requests since the start. With nothing in progress,
// accepted = answered + timed_out + reset + abandoned.
struct Counters {
    Number accepted{0}, timed_out{0}, reset{0}, abandoned{0}, deadlines_missed{0},
        handler_errors{0}, accept_errors{0}, descriptor_episodes{0}, metrics_taken{0}, held_ns{0},
        rejected_queue_full{0}, rejected_no_thread{0};
    Number answered[600] = {};  // by status
    // From accept to the handler's start, from there to its end, and its CPU time, summed.
    Number waited_ns{0}, handled_ns{0}, handler_cpu_ns{0};

    int64_t all_answered() const {
        int64_t sum = 0;
        for (const Number& count : answered) sum += count;
        return sum;
    }
};

// A number, and how high it has been since the window opened and since the last step.
struct Peak {
    Number window{0}, step{0};
    void note(int64_t value) {  // one thread alone
        if (value > step) step = value;
        if (value > window) window = value;
    }
    int64_t take_step(int64_t current) { return std::max(step.exchange(current), current); }
    void reset(int64_t current) { window = step = current; }
};

// What a backend says of its threads and its queue at this moment; -1 where there is no queue.
struct Gauges {
    int64_t threads_created, threads_active, threads_peak, threads_active_ns;
    int64_t queue_depth = -1, queue_depth_max = -1, queue_wait_ns = -1;
};

// How long each step of the newest requests answered 202 took.
class StageTimes {
  public:
    unsigned window() const { return window_; }

    // A request that began in `window` is done. Any thread.
    void add(unsigned window, const int64_t (&ns)[STAGE_COUNT]) {
        if (window != window_) return;  // it began before
        Row& row = rows_[next_++ % KEPT_ROWS];
        for (size_t i = 0; i < STAGE_COUNT; ++i)
            row.ns[i].store(static_cast<float>(ns[i]), std::memory_order_relaxed);
        row.window.store(window, std::memory_order_release);  // last: it is whole
    }

    void open_window() {  // one thread alone
        ++window_;
        first_ = next_.load();
    }

    size_t count() const { return std::min<size_t>(next_ - first_, KEPT_ROWS); }
    size_t dropped() const { return next_ - first_ - count(); }

    // `"read":{"mean":...,"p50":...,"p99":...},...` in microseconds; empty without rows.
    template <class Each>
    void each(Each&& tell) const {
        std::vector<float> times;
        for (size_t stage = 0; stage < STAGE_COUNT; ++stage) {
            times.clear();
            const size_t end = next_, rows = count();
            for (size_t i = end - rows; i < end; ++i) {
                const Row& row = rows_[i % KEPT_ROWS];
                if (row.window.load(std::memory_order_acquire) == window_)
                    times.push_back(row.ns[stage].load(std::memory_order_relaxed));
            }
            if (times.empty()) return;
            double sum = 0;
            for (const float time : times) sum += time;
            const auto at = [&](size_t rank) {
                std::nth_element(times.begin(), times.begin() + rank, times.end());
                return times[rank] / 1e3;
            };
            const size_t n = times.size();
            tell(STAGES[stage], sum / n / 1e3, at((n - 1) / 2), at(std::min(n - 1, n * 99 / 100)));
        }
    }

  private:
    struct Row {
        std::atomic<unsigned> window;
        std::atomic<float> ns[STAGE_COUNT];
    };
    // Zeros that take no memory until they are written.
    std::unique_ptr<Row, void (*)(void*)> memory_{
        static_cast<Row*>(calloc(KEPT_ROWS, sizeof(Row))), free};
    Row* const rows_ = memory_.get();
    std::atomic<unsigned> window_{1};
    std::atomic<size_t> next_{0}, first_{0};
};

// CPU time and context switches of the whole process (RUSAGE_SELF, which has the threads that have
// ended too), or of this thread (RUSAGE_THREAD).
struct Usage {
    int64_t cpu_us, voluntary, involuntary, minor_faults;
    explicit Usage(int who) {
        struct rusage used;
        getrusage(who, &used);
        cpu_us = (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1'000'000LL +
                 used.ru_utime.tv_usec + used.ru_stime.tv_usec;
        voluntary = used.ru_nvcsw;
        involuntary = used.ru_nivcsw;
        minor_faults = used.ru_minflt;
    }
};

// A line of /proc/self/status that ends in kB, in bytes. `status` has been open since the start, so
// that there is a report even when descriptors have run out.
inline int64_t memory_bytes(std::ifstream& status, const std::string& name) {
    status.clear();
    status.seekg(0);
    for (std::string line; std::getline(status, line);)
        if (line.compare(0, name.size() + 1, name + ":") == 0)
            return std::stoll(line.substr(name.size() + 1)) * 1024;
    return 0;
}
