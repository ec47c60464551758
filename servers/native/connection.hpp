// An accepted connection and its deadline; and the token buckets of the clients.
#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <list>
#include <mutex>
#include <unordered_map>

#include "http.hpp"
#include "telemetry.hpp"

constexpr size_t RECEIVE_BYTES = 4 * 1024;
constexpr size_t MAX_CLIENTS = 10'000;  // the least recently seen go first, and come back full
constexpr size_t MAX_CLIENT_ID_BYTES = 128;

struct ClientLeft {};      // the client closed or reset; there is nobody to answer
struct AnswerTimedOut {};  // the client did not take the response before the deadline

// Held by one thread at a time. `deadline_ns` is for the whole request and counts from accept, so a
// byte a second does not hold a thread. `cut_off`: a descriptor that becomes readable when a drain
// has run out of time.
struct Connection {
    int fd;
    std::string address;
    int64_t accepted_ns, deadline_ns;
    int cut_off;

    // The next bytes, 0 at the end. Throws `ClientLeft`, or `Problem` 408 at the deadline. What has
    // come in is taken even then, so that who waited long for a thread still gets an answer.
    size_t receive(char* buffer) const {
        for (;;) {
            const ssize_t size = recv(fd, buffer, RECEIVE_BYTES, MSG_DONTWAIT);
            if (size >= 0) return size;
            if (errno == EAGAIN && !wait(POLLIN)) {
                char text[80];
                snprintf(text, sizeof text, "The request was not complete in %g s.",
                         (deadline_ns - accepted_ns) / 1e9);
                throw Problem{408, text};
            }
            if (errno != EAGAIN && errno != EINTR) throw ClientLeft{};
        }
    }

    // Sends all of it. Throws `ClientLeft` or `AnswerTimedOut`.
    void send_all(const std::string& answer) const {
        for (size_t sent = 0; sent < answer.size();) {
            const ssize_t size = send(fd, answer.data() + sent, answer.size() - sent,
                                      MSG_DONTWAIT | MSG_NOSIGNAL);
            if (size >= 0) {
                sent += size;
            } else if (errno == EAGAIN) {
                if (!wait(POLLOUT)) throw AnswerTimedOut{};
            } else if (errno != EINTR) {
                throw ClientLeft{};
            }
        }
    }

  private:
    // Until the socket is ready; false when the deadline has passed.
    bool wait(short event) const {
        struct pollfd looked_at[] = {{fd, event, 0}, {cut_off, POLLIN, 0}};
        const int64_t left_ns = deadline_ns - now_ns();
        const struct timespec left = {left_ns / 1'000'000'000, left_ns % 1'000'000'000};
        if (left_ns > 0 && ppoll(looked_at, 2, &left, nullptr) > 0 && looked_at[1].revents)
            throw ClientLeft{};
        errno = EAGAIN;
        return left_ns > 0;
    }
};

// A token bucket for each client, in a bounded table under one mutex: the lock that all threads
// compete for. The design document's "contention" is here.
class TokenBuckets {
  public:
    explicit TokenBuckets(int64_t rate_per_s) : rate_(rate_per_s) {}

    // Takes a token of the client: 0, or the seconds until it will have one.
    double wait_s(const std::string& client) {
        if (rate_ == 0) return 0;
        const std::lock_guard<std::mutex> lock(mutex_);
        const int64_t now = now_ns();
        const auto known = places_.find(client);
        if (known == places_.end()) {
            for (; order_.size() >= MAX_CLIENTS; order_.pop_front())
                places_.erase(order_.front().client);
            order_.push_back({client, rate_ - 1.0, now});
            places_.emplace(client, std::prev(order_.end()));
            return 0;
        }
        order_.splice(order_.end(), order_, known->second);  // the most recently seen
        Bucket& bucket = *known->second;
        bucket.tokens = std::min<double>(rate_, bucket.tokens + (now - bucket.at_ns) * 1e-9 * rate_);
        bucket.at_ns = now;
        if (bucket.tokens < 1) return (1 - bucket.tokens) / rate_;
        bucket.tokens -= 1;
        return 0;
    }

    size_t size() {
        const std::lock_guard<std::mutex> lock(mutex_);
        return order_.size();
    }

  private:
    struct Bucket {
        std::string client;
        double tokens;
        int64_t at_ns;
    };
    const int64_t rate_;
    std::mutex mutex_;
    std::list<Bucket> order_;  // least recently seen first
    std::unordered_map<std::string, std::list<Bucket>::iterator> places_;
};

// What a client is called: like no address, and like no other name. A long one by a hash, so that
// the table stays within its memory (not a cryptographic one: see docs/servers.md).
inline std::string client_key(const std::string& id, const std::string& address) {
    if (id.empty()) return address;
    if (id.size() <= MAX_CLIENT_ID_BYTES) return "id:" + id;
    const std::hash<std::string> hash;
    return "hash:" + std::to_string(hash(id)) + ":" + std::to_string(hash(id + "2"));
}
