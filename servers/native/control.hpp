// The housekeeper: one thread for what must not hold a handler. It serves the control port, sees
// half-closed connections out, and notices when the parent process is gone.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <deque>
#include <functional>
#include <set>
#include <thread>

#include "connection.hpp"

constexpr int64_t SECOND_NS = 1'000'000'000;
constexpr int64_t LINGER_NS = 2 * SECOND_NS, ACCEPT_BACKOFF_NS = SECOND_NS / 10;
constexpr size_t MAX_LINGERING = 1024, MAX_CONTROL_CONNECTIONS = 32;
constexpr size_t MAX_DRAIN_BYTES = 2 * 1024 * 1024, MAX_CONTROL_BYTES = 16 * 1024;
// The sampler sends exactly this; a browser would add headers.
constexpr char SAMPLE_REQUEST[] = "GET /sample HTTP/1.1\r\nHost: control\r\n\r\n";

using Headers = std::vector<std::pair<std::string, std::string>>;
struct Reply {
    int status;
    const char* type;
    std::string body;
};
using Respond = std::function<Reply(const std::string& method, const std::string& path,
                                    const std::string& body)>;

inline void set_blocking(int fd, bool blocking) {
    const int flags = fcntl(fd, F_GETFL);
    fcntl(fd, F_SETFL, blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK);
}

// An address and a port of a socket: of this end, or of the other.
struct Address {
    std::string host;
    int port = 0;
    bool loopback = false;

    explicit Address(const struct sockaddr_storage& raw) {
        char text[INET6_ADDRSTRLEN] = "";
        if (raw.ss_family == AF_INET) {
            const auto& v4 = reinterpret_cast<const struct sockaddr_in&>(raw);
            inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
            port = ntohs(v4.sin_port);
            loopback = ntohl(v4.sin_addr.s_addr) >> 24 == 127;
        } else {
            const auto& v6 = reinterpret_cast<const struct sockaddr_in6&>(raw);
            inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
            port = ntohs(v6.sin6_port);
            loopback = IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
        }
        host = text;
    }
    static Address of(int fd) {
        struct sockaddr_storage raw = {};
        socklen_t size = sizeof raw;
        getsockname(fd, reinterpret_cast<struct sockaddr*>(&raw), &size);
        return Address(raw);
    }
};

// Who may ask the control port: whoever has its token, and no page that a browser shows. The rules
// are those of servers/access.py, where the reasons stand.
class Access {
  public:
    std::string token;  // empty: nothing must be shown

    Access(int port, const std::string& told_host, const std::string& token)
        : token(token), port_(std::to_string(port)),
          names_{"127.0.0.1", "localhost", "::1", normal(told_host)} {}

    // Throws `Problem` for what is not answered.
    void check(const Request& request, const Headers& headers, const std::string& local) const {
        const auto last = [&](const char* name, const char* otherwise) {
            std::string found = otherwise;
            for (const auto& [key, value] : headers)
                if (key == name) found = value;
            return found;
        };
        if (!token.empty() && !is_token(last("authorization", "")))
            throw Problem{401, "This needs the token of LABRUN_TOKEN.",
                          "WWW-Authenticate: Bearer\r\n"};
        for (const auto& [key, value] : headers)
            if (key == "host" && !is_own(value, normal(local)))
                throw Problem{421, "Host is not the address of this control port, whose port is " +
                                       port_ + ": ask 127.0.0.1, localhost, or what --control-host "
                                               "says."};
        const std::string site = last("sec-fetch-site", "none");
        if (last("origin", "-") != "-" || (site != "none" && site != "same-origin"))
            throw Problem{403, "No page of a browser is answered here."};
        if ((request.method != "GET" || request.path() == "/sample") &&
            last("x-lab-control", "-") == "-")
            throw Problem{403, "What changes something here needs the header X-Lab-Control: 1."};
    }

  private:
    const std::string port_;
    const std::set<std::string> names_;

    // One spelling for each host.
    static std::string normal(const std::string& host) {
        std::string bare = host;
        if (!bare.empty() && bare[0] == '[') bare = bare.substr(1);
        if (!bare.empty() && bare.back() == ']') bare.pop_back();
        bare = bare.substr(0, bare.find('%'));
        char text[INET6_ADDRSTRLEN];
        struct in6_addr v6;
        if (inet_pton(AF_INET6, bare.c_str(), &v6) != 1) return lower(host);
        if (IN6_IS_ADDR_V4MAPPED(&v6)) return inet_ntop(AF_INET, &v6.s6_addr[12], text, sizeof text);
        return inet_ntop(AF_INET6, &v6, text, sizeof text);
    }

    bool is_own(const std::string& host, const std::string& local) const {
        std::string name = host, port = "80";  // what a Host without a port means
        if (host.empty() || host.back() != ']') {
            const size_t colon = host[0] == '[' ? host.rfind(':') : host.find(':');
            if (colon != std::string::npos) {
                name = host.substr(0, colon);
                port = colon + 1 < host.size() ? host.substr(colon + 1) : port;
            }
        }
        name = normal(name);
        return port == port_ && (names_.count(name) || name == local);
    }

    bool is_token(const std::string& shown) const {
        const size_t space = shown.find(' ');
        if (space == std::string::npos || lower(shown.substr(0, space)) != "bearer") return false;
        const std::string given = shown.substr(std::min(shown.find_first_not_of(' ', space),
                                                        shown.size()));
        unsigned char differs = given.size() != token.size();  // in a time that tells nothing
        for (size_t i = 0; i < given.size(); ++i) differs |= given[i] ^ token[i % token.size()];
        return !differs;
    }
};

class Housekeeper {
  public:
    Number cpu_us{0}, switches{0};

    Housekeeper(int control, Access access, Respond respond, bool with_parent)
        : control_(control), access_(std::move(access)), respond_(std::move(respond)),
          with_parent_(with_parent) {}

    void start() { thread_ = std::thread([this] { run(); }); }

    // Sees the lingering connections out, and ends the thread.
    void stop() {
        stopping_ = true;
        wake();
        thread_.join();
    }

    // Any thread: half-closes the socket, drains it for a bounded time, closes it. Closing it with
    // unread input would send a reset, which can destroy the response on its way.
    void linger(int fd) {
        shutdown(fd, SHUT_WR);
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            handed_over_.push_back({fd, now_ns() + LINGER_NS});
        }
        wake();
    }

  private:
    struct Lingering {
        int fd;
        int64_t until_ns;
        size_t drained_bytes = 0;
    };
    struct Kept {  // one kept connection to the control port
        int fd;
        bool trusted = false;  // it has been answered
        std::unique_ptr<Request> request = std::make_unique<Request>();
        std::unique_ptr<Headers> headers = std::make_unique<Headers>();
        size_t received = 0;
    };
    const int control_, woken_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    const int epoll_ = epoll_create1(EPOLL_CLOEXEC);
    const Access access_;
    const Respond respond_;
    bool with_parent_;
    std::thread thread_;
    std::atomic<bool> stopping_{false};
    std::mutex mutex_;
    std::deque<Lingering> handed_over_;  // under the mutex
    std::deque<Lingering> lingering_;    // oldest deadline first
    std::deque<Kept> kept_;
    int64_t accept_again_ns_ = 0;        // 0: the control port is accepting

    void wake() { eventfd_write(woken_, 1); }

    void watch(int fd) {
        struct epoll_event event = {};
        event.events = EPOLLIN;
        event.data.fd = fd;
        epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
    }

    void run() {
        watch(woken_);
        watch(control_);
        if (with_parent_) watch(0);
        while (!stopping_ || !lingering_.empty() || handed_over()) {
            struct epoll_event events[64];
            const int ready = epoll_wait(epoll_, events, 64, timeout_ms());
            for (int i = 0; i < ready; ++i) serve(events[i].data.fd);
            while (!lingering_.empty() && lingering_.front().until_ns <= now_ns()) {
                close(lingering_.front().fd);
                lingering_.pop_front();
            }
            if (accept_again_ns_ && accept_again_ns_ <= now_ns()) {
                accept_again_ns_ = 0;
                watch(control_);
            }
            const Usage used(RUSAGE_THREAD);
            cpu_us = used.cpu_us;
            switches = used.voluntary + used.involuntary;
        }
    }

    void serve(int fd) {
        if (fd == woken_) return take_over();
        if (fd == control_) return accept_control();
        if (fd == 0 && with_parent_) return parent_speaks();
        for (size_t i = 0; i < kept_.size(); ++i)
            if (kept_[i].fd == fd) return readable(kept_[i]) ? void() : end(i);
        for (size_t i = 0; i < lingering_.size(); ++i)
            if (lingering_[i].fd == fd) return drain(i);
    }

    bool handed_over() {
        const std::lock_guard<std::mutex> lock(mutex_);
        return !handed_over_.empty();
    }

    // Until the next thing that is due by itself; -1 when nothing is.
    int timeout_ms() const {
        int64_t due_ns = accept_again_ns_ ? accept_again_ns_ : INT64_MAX;
        if (!lingering_.empty()) due_ns = std::min(due_ns, lingering_.front().until_ns);
        if (due_ns == INT64_MAX) return -1;
        return static_cast<int>(std::max<int64_t>(0, (due_ns - now_ns()) / 1'000'000 + 1));
    }

    void take_over() {
        eventfd_t count;
        eventfd_read(woken_, &count);
        const std::lock_guard<std::mutex> lock(mutex_);
        for (; !handed_over_.empty(); handed_over_.pop_front()) {
            if (lingering_.size() >= MAX_LINGERING) {
                close(lingering_.front().fd);
                lingering_.pop_front();
            }
            lingering_.push_back(handed_over_.front());
            watch(lingering_.back().fd);
        }
    }

    void drain(size_t i) {
        static char buffer[64 * 1024];
        Lingering& one = lingering_[i];
        const ssize_t size = recv(one.fd, buffer, sizeof buffer, MSG_DONTWAIT);
        if (size > 0) one.drained_bytes += size;
        const bool goes_on = size > 0 || (size < 0 && errno == EAGAIN);
        if (goes_on && one.drained_bytes <= MAX_DRAIN_BYTES) return;
        close(one.fd);
        lingering_.erase(lingering_.begin() + i);
    }

    // Standard input is a pipe from the parent: its end is the parent's end.
    void parent_speaks() {
        char buffer[4096];
        if (read(0, buffer, sizeof buffer) > 0) return;
        fputs("the parent process is gone; stopping\n", stderr);
        _exit(1);
    }

    void accept_control() {
        const int fd = accept4(control_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {  // out of descriptors: look away for a moment, and serve who is connected
            accept_again_ns_ = now_ns() + ACCEPT_BACKOFF_NS;
            epoll_ctl(epoll_, EPOLL_CTL_DEL, control_, nullptr);
            return;
        }
        if (kept_.size() >= MAX_CONTROL_CONNECTIONS && !make_room()) {
            close(fd);
            return;
        }
        kept_.push_back({fd});
        watch(fd);
    }

    // Ends the oldest connection that has never got an answer; false without one.
    bool make_room() {
        for (size_t i = 0; i < kept_.size(); ++i)
            if (!kept_[i].trusted) return end(i), true;
        return false;
    }

    void end(size_t i) {
        close(kept_[i].fd);
        kept_.erase(kept_.begin() + i);
    }

    // Takes in what has come and answers it; false when the connection is to be closed.
    bool readable(Kept& kept) {
        char buffer[MAX_CONTROL_BYTES];
        const ssize_t size = recv(kept.fd, buffer, sizeof buffer, 0);
        if (size < 0 && errno == EAGAIN) return true;
        if (size <= 0 || (kept.received += size) > MAX_CONTROL_BYTES) return false;
        if (std::string_view(buffer, size) == SAMPLE_REQUEST && kept.received == size_t(size) &&
            access_.token.empty()) {
            kept.received = 0;
            return answer(kept, "GET", "/sample", "", true);
        }
        kept.request->keep = kept.headers.get();
        try {
            kept.request->feed(buffer, size);
        } catch (const Problem&) {
            return false;
        }
        if (!kept.request->complete) return true;
        const auto request = std::move(kept.request);
        const auto headers = std::move(kept.headers);
        kept.request = std::make_unique<Request>();
        kept.headers = std::make_unique<Headers>();
        kept.received = 0;
        try {
            access_.check(*request, *headers, Address::of(kept.fd).host);
        } catch (const Problem& problem) {
            send_reply(kept.fd, {problem.status, "application/problem+json", problem_body(problem)},
                       false, problem.headers);
            return false;
        }
        bool keep = request->is_1_1;
        for (const auto& [name, value] : *headers)
            if (name == "connection")
                keep = lower(value) == "keep-alive" || (keep && lower(value) != "close");
        return answer(kept, request->method, request->path(), request->body, keep);
    }

    bool answer(Kept& kept, const std::string& method, const std::string& path,
                const std::string& body, bool keep) {
        kept.trusted = true;
        return send_reply(kept.fd, respond_(method, path, body), keep, "") && keep;
    }

    // False when the client did not take it.
    static bool send_reply(int fd, const Reply& reply, bool keep, const std::string& headers) {
        std::string out = "HTTP/1.1 " + std::to_string(reply.status) + " " + phrase(reply.status) +
                          "\r\n" + headers + "Content-Type: " + reply.type +
                          "\r\nContent-Length: " + std::to_string(reply.body.size()) +
                          "\r\nConnection: " + (keep ? "keep-alive" : "close") + "\r\n\r\n" +
                          reply.body;
        const int64_t deadline_ns = now_ns() + SECOND_NS;  // whoever does not take it is cut off
        for (size_t sent = 0; sent < out.size();) {
            const ssize_t size = send(fd, out.data() + sent, out.size() - sent, MSG_NOSIGNAL);
            if (size >= 0) {
                sent += size;
                continue;
            }
            struct pollfd waited = {fd, POLLOUT, 0};
            if (errno != EAGAIN || now_ns() > deadline_ns || poll(&waited, 1, 1000) <= 0)
                return false;
        }
        return true;
    }
};
