// A server: listening socket, acceptor loop, request path, and how it starts and stops. What a
// backend adds is how an accepted connection gets to a thread.
#pragma once

#include <netdb.h>
#include <pthread.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <condition_variable>
#include <csignal>
#include <map>

#include "control.hpp"
#include "json.hpp"
#include "report.hpp"

constexpr int64_t DRAIN_GRACE_NS = SECOND_NS / 2;  // so that a request at its deadline gets its 408
constexpr int64_t CUT_OFF_NS = SECOND_NS / 2;  // for threads to notice that they were cut off
constexpr int64_t EPISODE_GAP_NS = SECOND_NS;  // out of descriptors again after this: another one

// A backend cannot take a connection now; the acceptor answers 503 at once.
struct Overloaded {
    const char* reason;
    Number Counters::*counter;
};

// What a server is started with: `name=value` for each, written by servers/native/launch.py.
class Options {
  public:
    Options(int argc, char** argv) {
        for (int i = 1; i < argc; ++i) {
            const std::string argument = argv[i];
            const size_t equals = argument.find('=');
            values_[argument.substr(0, equals)] = argument.substr(equals + 1);
        }
    }
    const std::string& text(const char* name) const { return values_.at(name); }
    int64_t number(const char* name) const { return std::stoll(values_.at(name)); }

  private:
    std::map<std::string, std::string> values_;
};

[[noreturn]] inline void cannot_run(const std::string& why) {
    fprintf(stderr, "python -m servers: %s\n", why.c_str());
    exit(2);
}

// What another program says to `input`, and whether its exit status was 0.
inline bool ask_program(const std::vector<std::string>& command, const std::string& input,
                        std::string& said) {
    int in[2], out[2];
    if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC)) return false;
    posix_spawn_file_actions_t moves;
    posix_spawn_file_actions_init(&moves);
    posix_spawn_file_actions_adddup2(&moves, in[0], 0);
    posix_spawn_file_actions_adddup2(&moves, out[1], 1);
    posix_spawn_file_actions_adddup2(&moves, out[1], 2);
    std::vector<char*> words;
    for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    pid_t pid = -1;
    const int failed = posix_spawn(&pid, words[0], &moves, nullptr, words.data(), environ);
    posix_spawn_file_actions_destroy(&moves);
    close(in[0]);
    close(out[1]);
    // At most 16 KiB, for which a pipe has room.
    const bool fed = write(in[1], input.data(), input.size()) == static_cast<ssize_t>(input.size());
    close(in[1]);
    char buffer[4096];
    for (ssize_t size; (size = read(out[0], buffer, sizeof buffer)) > 0;) said.append(buffer, size);
    close(out[0]);
    int status = 1;
    return !failed && waitpid(pid, &status, 0) == pid && fed && status == 0;
}

// How many of a backend's threads are there; a drain waits until there are none.
class Threads {
  public:
    int64_t enter() { return ++count_; }
    void leave() {
        if (--count_ > 0 || !draining_) return;
        const std::lock_guard<std::mutex> lock(mutex_);
        none_.notify_all();
    }
    int64_t count() const { return count_; }
    bool none_within(int64_t ns) {
        draining_ = true;
        std::unique_lock<std::mutex> lock(mutex_);
        return none_.wait_for(lock, std::chrono::nanoseconds(ns), [this] { return count_ == 0; });
    }

  private:
    Number count_{0};
    std::atomic<bool> draining_{false};
    std::mutex mutex_;
    std::condition_variable none_;
};

class Server {
  public:
    Server(int argc, char** argv) : options(argc, argv) {}
    virtual ~Server() = default;

    const Options options;
    Counters counters;
    const int64_t started_ns = now_ns();

    int run();                                 // the life of the process; its exit status
    void handle(const Connection& connection);  // a backend's thread: all steps, and close

  protected:
    // ---- what a backend is. Acceptor (main thread):
    virtual void start() {}                              // before the first connection
    virtual void dispatch(Connection connection) = 0;    // never blocks; throws Overloaded
    virtual bool drain(int64_t ns) = 0;                  // all was finished within that time
    virtual std::vector<Connection> abandon() { return {}; }  // what no thread has begun
    // ---- housekeeping thread:
    virtual Gauges gauges() = 0;
    virtual std::pair<int64_t, int64_t> step_peaks() = 0;  // threads, queue (-1: there is none)
    virtual void open_window() = 0;                        // forget the peaks

  private:
    int listener_ = -1, control_ = -1;
    const int cut_off_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    std::atomic<int64_t> window_ns_{started_ns};
    std::atomic<bool> was_cut_off_{false};
    const int64_t deadline_ns_ = options.number("request_deadline_ns");
    const int64_t work_ns_ = options.number("workload_ns");  // 0: nothing besides
    const bool computes_ = options.text("workload") == "cpu";
    StageTimes stages_;
    std::ifstream status_{"/proc/self/status"};
    std::string restart_;  // the line that says what is to be started after this server
    std::unique_ptr<TokenBuckets> limiter_;
    std::unique_ptr<Housekeeper> housekeeper_;

    static inline std::atomic<bool> stopping_{false};
    static inline std::atomic<int> signalled_listener_{-1};

    static void on_signal(int);
    int listen_on(const std::string& host, const std::string& port, int backlog) const;
    void accept_until_stopped();
    bool accept_failed(int64_t& last_ns, int64_t& stopping_ns);
    void refuse_dispatch(const Connection& connection, const Overloaded& why);
    int drain_and_tell();
    Reply restart(const std::string& order);
    Reply respond(const std::string& method, const std::string& path, const std::string& body);
    std::string sample();

    void steps(const Connection& connection, Request& request, int64_t started_ns);
    int64_t receive(const Connection& connection, Request& request);
    void refuse(const Connection& connection, const Request& request, const Problem& problem);
    void close_after(const Connection& connection, const Request& request);
    void work() const;
    void ended(const Connection& connection) { counters.held_ns += now_ns() - connection.accepted_ns; }
    void answered(int status, const Connection& connection) {
        ended(connection);
        ++counters.answered[status];
    }
};

// ---- the request path: the steps that both backends share ---------------------------------------

inline void Server::handle(const Connection& connection) {
    const int64_t started_ns = now_ns(), cpu_ns = thread_cpu_ns();
    Request request;
    try {
        try {
            steps(connection, request, started_ns);
        } catch (const Problem& problem) {
            counters.deadlines_missed += problem.status == 408;
            refuse(connection, request, problem);
        } catch (const std::exception& error) {
            fprintf(stderr, "a handler failed (%s); the client gets 500\n", error.what());
            ++counters.handler_errors;
            refuse(connection, request, {500, "The server made a mistake; its log says more."});
        }
    } catch (const ClientLeft&) {
        ended(connection);
        ++(was_cut_off_ ? counters.abandoned : counters.reset);
        close(connection.fd);
    } catch (const AnswerTimedOut&) {
        ended(connection);
        ++counters.timed_out;
        close(connection.fd);
    }
    counters.handler_cpu_ns += thread_cpu_ns() - cpu_ns;
    counters.waited_ns += started_ns - connection.accepted_ns;
    counters.handled_ns += now_ns() - started_ns;
}

// The eight steps of a request that goes well, each edge stamped.
inline void Server::steps(const Connection& connection, Request& request, int64_t started_ns) {
    const unsigned window = stages_.window();
    const int64_t parse_ns = receive(connection, request);
    const std::string path = request.path();
    if (path == "/healthz" && (request.method == "GET" || request.method == "HEAD")) {
        std::string answer = response(200, R"({"status": "ok"})");
        if (request.method == "HEAD") answer.resize(answer.find("\r\n\r\n") + 4);
        connection.send_all(answer);
        answered(200, connection);
        return close_after(connection, request);
    }
    if (path != "/metrics" && path != "/healthz")
        throw Problem{404, "There is nothing here: try POST /metrics or GET /healthz."};
    if (path == "/healthz" || request.method != "POST") {
        const std::string allowed = path == "/metrics" ? "POST" : "GET, HEAD";
        throw Problem{405, "This path takes " + allowed + ".", "Allow: " + allowed + "\r\n"};
    }
    const int64_t received_ns = now_ns();
    const double wait_s = limiter_->wait_s(client_key(request.client_id, connection.address));
    if (wait_s > 0)
        throw Problem{429, "This client is over its rate.",
                      "Retry-After: " + std::to_string((int64_t)std::ceil(wait_s)) + "\r\n"};
    const int64_t limited_ns = now_ns();
    const Json value = JsonReader(request.body).document();
    const int64_t decoded_ns = now_ns();
    const size_t count = validate(value);
    const int64_t validated_ns = now_ns();
    work();
    const int64_t worked_ns = now_ns();
    connection.send_all(response(202, "{\"accepted\": " + std::to_string(count) + "}"));
    const int64_t written_ns = now_ns();
    answered(202, connection);
    counters.metrics_taken += count;
    close_after(connection, request);
    stages_.add(window, {started_ns - connection.accepted_ns, received_ns - started_ns - parse_ns,
                         parse_ns, limited_ns - received_ns, decoded_ns - limited_ns,
                         validated_ns - decoded_ns, written_ns - worked_ns, now_ns() - written_ns});
}

// Reads and parses until the request is complete; the nanoseconds that parsing took.
inline int64_t Server::receive(const Connection& connection, Request& request) {
    char buffer[RECEIVE_BYTES];
    int64_t parse_ns = 0;
    for (size_t received = 0;;) {
        const size_t size = connection.receive(buffer);
        if (size == 0 && received == 0) throw ClientLeft{};
        if (size == 0) throw Problem{400, "The request was cut short."};
        const int64_t fed_ns = now_ns();
        request.feed(buffer, size);
        parse_ns += now_ns() - fed_ns;
        if (request.complete) {
            request.trailing |= size == RECEIVE_BYTES;  // there may be more that is unread
            return parse_ns;
        }
        // Trailers and chunk extensions have no length of their own, and who sends them fast would
        // never meet the deadline.
        if ((received += size) > MAX_REQUEST_BYTES)
            throw Problem{413, "The request is over " + std::to_string(MAX_REQUEST_BYTES) +
                                   " bytes as it was sent."};
        if (request.headers_complete && request.expects_continue) {
            request.expects_continue = false;
            connection.send_all("HTTP/1.1 100 Continue\r\n\r\n");
        }
    }
}

// What the handler does besides: nothing, waiting, or computing.
inline void Server::work() const {
    if (work_ns_ == 0) return;
    if (!computes_) return std::this_thread::sleep_for(std::chrono::nanoseconds(work_ns_));
    // CPU time of this thread, so that the work is the same however often it is preempted.
    const int64_t end_ns = thread_cpu_ns() + work_ns_;
    while (thread_cpu_ns() < end_ns) {
    }
}

inline void Server::refuse(const Connection& connection, const Request& request,
                           const Problem& problem) {
    std::string answer = problem_response(problem);
    if (request.headers_complete && request.method == "HEAD")
        answer.resize(answer.find("\r\n\r\n") + 4);
    connection.send_all(answer);
    answered(problem.status, connection);
    close_after(connection, request);
}

inline void Server::close_after(const Connection& connection, const Request& request) {
    if (request.complete && !request.trailing)
        close(connection.fd);
    else
        housekeeper_->linger(connection.fd);
}

// ---- starting, accepting, stopping --------------------------------------------------------------

// The first signal drains, the second ends at once. A non-blocking listener ends the loop below
// once nobody is left to accept.
inline void Server::on_signal(int) {
    if (stopping_.exchange(true)) {
        const char said[] = "a second signal: stopped at once, with whatever was in progress\n";
        if (write(2, said, sizeof said - 1) < 0) _exit(1);
        _exit(1);
    }
    const int before = errno;
    set_blocking(signalled_listener_, false);
    errno = before;
}

inline int Server::listen_on(const std::string& host, const std::string& port, int backlog) const {
    struct addrinfo hints = {}, *found = nullptr;
    hints.ai_socktype = SOCK_STREAM;
    const int failed = getaddrinfo(host.c_str(), port.c_str(), &hints, &found);
    const char* reason = failed ? gai_strerror(failed) : nullptr;
    int fd = -1;
    if (!failed) {
        const int on = 1;
        fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (bind(fd, found->ai_addr, found->ai_addrlen) || listen(fd, backlog))
            reason = strerror(errno);
        freeaddrinfo(found);
    }
    if (reason)
        cannot_run("cannot listen on " + host + " port " + port + ": " + reason +
                   "; stop what uses it or take another (--port 0 finds a free one)");
    return fd;
}

inline int Server::run() {
    if (options.number("lock_stacks") && mlockall(MCL_CURRENT | MCL_FUTURE))
        cannot_run(std::string("--lock-stacks: mlockall failed (") + strerror(errno) +
                   "); run as root or raise `ulimit -l`");
    limiter_ = std::make_unique<TokenBuckets>(options.number("rate_limit_per_s"));
    listener_ = listen_on(options.text("host"), options.text("port"), options.number("backlog"));
    control_ = listen_on(options.text("control_host"), options.text("control_port"), 64);
    set_blocking(control_, false);
    // A signal that comes just before accept() begins to wait would not interrupt it; this does.
    const struct timeval wait = {0, 250'000};
    setsockopt(listener_, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    const Address here = Address::of(listener_), control = Address::of(control_);
    const char* token = getenv("LABRUN_TOKEN");
    if (!control.loopback && (!token || !*token))
        cannot_run("--control-host " + options.text("control_host") +
                   " leaves this machine, so the control port needs a token: set LABRUN_TOKEN, or "
                   "leave --control-host out");
    if (!here.loopback)
        fprintf(stderr, "LISTENING ON %s: anybody who can reach this machine can send to this "
                        "server\n", options.text("host").c_str());
    if (!control.loopback)
        fprintf(stderr, "THE CONTROL PORT LISTENS ON %s: anybody with the token can read the "
                        "report\n", options.text("control_host").c_str());
    signalled_listener_ = listener_;
    struct sigaction action = {};
    action.sa_handler = on_signal;
    sigaction(SIGTERM, &action, nullptr);
    sigaction(SIGINT, &action, nullptr);
    housekeeper_ = std::make_unique<Housekeeper>(
        control_,
        Access(control.port, options.text("control_host"), control.loopback ? "" : token),
        [this](const auto& method, const auto& path, const auto& body) {
            return respond(method, path, body);
        },
        options.number("exit_with_parent"));
    try {
        housekeeper_->start();
        // The stack of every thread from here on, std::thread has no say in it.
        pthread_attr_t attributes;
        pthread_attr_init(&attributes);
        pthread_attr_setstacksize(&attributes, options.number("stack_size_bytes"));
        pthread_setattr_default_np(&attributes);
        start();
    } catch (const std::system_error& error) {
        fprintf(stderr, "python -m servers: %s cannot start: %s; take fewer --workers or a smaller "
                        "--stack-size\n", options.text("backend").c_str(), error.what());
        _exit(2);
    }
    printf("{\"backend\": \"%s\", \"pid\": %d, \"host\": \"%s\", \"port\": %d, "
           "\"control_port\": %d}\n",
           options.text("backend").c_str(), getpid(), here.host.c_str(), here.port, control.port);
    fflush(stdout);
    fprintf(stderr, "%s is ready: POST http://%s:%d/metrics, report at http://%s:%d/report; Ctrl-C "
                    "drains and stops\n",
            options.text("backend").c_str(), here.host.c_str(), here.port, control.host.c_str(),
            control.port);
    accept_until_stopped();
    close(listener_);
    return drain_and_tell();
}

// Until a signal. Then, once, whatever the kernel's backlog already holds.
inline void Server::accept_until_stopped() {
    int64_t last_ns = -EPISODE_GAP_NS, stopping_ns = 0;
    for (int64_t left = options.number("backlog"); left > 0;) {
        struct sockaddr_storage from = {};
        socklen_t size = sizeof from;
        const int fd = accept4(listener_, reinterpret_cast<struct sockaddr*>(&from), &size,
                               SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EAGAIN && stopping_) return;
            if (errno == EAGAIN || errno == EINTR || accept_failed(last_ns, stopping_ns)) continue;
            return;
        }
        const int64_t now = now_ns();
        ++counters.accepted;
        const Connection connection{fd, Address(from).host, now, now + deadline_ns_, cut_off_};
        try {
            dispatch(connection);
        } catch (const Overloaded& why) {
            refuse_dispatch(connection, why);
        }
        if (stopping_) --left;
    }
}

// Counts it; where the system is out of something, waits for it to come back. False when the server
// is stopping and nothing has come back for a request's time.
inline bool Server::accept_failed(int64_t& last_ns, int64_t& stopping_ns) {
    const int reason = errno;
    ++counters.accept_errors;
    if (reason != EMFILE && reason != ENFILE && reason != ENOBUFS && reason != ENOMEM) return true;
    const int64_t now = now_ns();
    if (now - last_ns > EPISODE_GAP_NS) {
        ++counters.descriptor_episodes;
        fprintf(stderr, "cannot accept: %s; waiting for it to pass (raise the limit with ulimit "
                        "-n)\n", strerror(reason));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    last_ns = now_ns();
    if (stopping_ && stopping_ns == 0) stopping_ns = now;
    return !(stopping_ && now - stopping_ns > deadline_ns_);
}

// Says no at once, without waiting for the client: 503, half-close, hand over.
inline void Server::refuse_dispatch(const Connection& connection, const Overloaded& why) {
    ++(counters.*why.counter);
    try {
        connection.send_all(problem_response({503, std::string("The server is at its limit: ") +
                                                       why.reason + ".", "Retry-After: 1\r\n"}));
        answered(503, connection);
        housekeeper_->linger(connection.fd);
    } catch (const ClientLeft&) {
        ended(connection);
        ++counters.reset;
        close(connection.fd);
    } catch (const AnswerTimedOut&) {
        ended(connection);
        ++counters.timed_out;
        close(connection.fd);
    }
}

// Finishes what was accepted, within the deadline; closes the rest. The exit status.
inline int Server::drain_and_tell() {
    const auto lost = [this] {
        return counters.accepted - counters.all_answered() - counters.timed_out - counters.reset -
               counters.abandoned;
    };
    if (!drain(deadline_ns_ + DRAIN_GRACE_NS)) {
        was_cut_off_ = true;
        eventfd_write(cut_off_, 1);
        for (const Connection& connection : abandon()) {
            ended(connection);
            ++counters.abandoned;
            close(connection.fd);
        }
        const int64_t end_ns = now_ns() + CUT_OFF_NS;
        while (lost() > 0 && now_ns() < end_ns)
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    housekeeper_->stop();
    const long long abandoned = counters.abandoned + lost();
    fputs(restart_.c_str(), stdout);
    fflush(stdout);
    fprintf(stderr, "stopped: accepted %lld = answered %lld + timed out %lld + reset %lld + "
                    "abandoned %lld\n",
            (long long)counters.accepted, (long long)counters.all_answered(),
            (long long)counters.timed_out, (long long)counters.reset, abandoned);
    return abandoned ? 1 : 0;
}

// ---- the control port ---------------------------------------------------------------------------

// Begins to drain; what comes after is for the supervisor. What an order may ask for is in one
// place, servers/restart.py.
inline Reply Server::restart(const std::string& order) {
    if (!options.number("supervised"))
        return {403, "text/plain", "not allowed: start the server with --allow-restart\n"};
    if (stopping_ || !restart_.empty())  // a second signal would cut the drain short
        return {409, "text/plain", "this server is at its end already\n"};
    std::string said;
    if (!ask_program({options.text("python"), "-P", "-m", "servers.restart",
                      options.text("backend")}, order, said))
        return {400, "text/plain", said};
    restart_ = said;
    kill(getpid(), SIGTERM);
    return {202, "text/plain", "starting afresh\n"};
}

inline Reply Server::respond(const std::string& method, const std::string& path,
                             const std::string& body) {
    static const char json[] = "application/json";
    static const char offered[] = "GET /report, /sample and /metrics; POST /window and /restart\n";
    if (method == "GET" && path == "/sample") return {200, json, sample()};
    if (method == "POST" && path == "/window") {
        stages_.open_window();
        window_ns_ = now_ns();
        open_window();
    }
    const bool reported = (method == "GET" && path == "/report") ||
                          (method == "POST" && path == "/window");
    if (reported || (method == "GET" && path == "/metrics")) {
        const Sources from{options.text("backend"), options.text("settings"), started_ns, window_ns_,
                           housekeeper_->cpu_us, housekeeper_->switches,
                           options.number("stack_size_bytes"),
                           static_cast<int64_t>(limiter_->size()), stopping_, gauges(), counters,
                           stages_, status_};
        if (reported) return {200, json, report_json(from)};
        return {200, "text/plain; version=0.0.4", prometheus(from)};
    }
    if (method == "POST" && path == "/restart") return restart(body);
    const bool known = path == "/sample" || path == "/report" || path == "/metrics" ||
                       path == "/window" || path == "/restart";
    return {known ? 405 : 404, "text/plain", offered};
}

inline std::string Server::sample() {
    const Usage used(RUSAGE_SELF);
    const Gauges now = gauges();
    const auto [threads, queue] = step_peaks();
    Object out;
    out.add("monotonic_ns", now_ns()).add("accepted", counters.accepted);
    out.add("cpu_us", used.cpu_us).add("voluntary_switches", used.voluntary);
    out.add("involuntary_switches", used.involuntary).add("threads_created", now.threads_created);
    out.add("threads_active", now.threads_active).add("threads_step_peak", threads);
    return out.maybe("queue_depth", now.queue_depth).maybe("queue_step_max", queue).text();
}
