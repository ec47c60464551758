// Thread pool: a fixed number of threads take connections from a bounded queue.
//
//     main thread            work queue (bounded)           16 workers, created at start
//     -----------            --------------------           ----------------------------
//     accept()
//       enqueue  --------->  | c3 | c2 | c1 |  -----------> read, parse, rate limit, decode,
//     accept()                                              validate, write, close
//       enqueue, or 503                                     (back to the queue for the next)
//       when it is full
//
// A worker that waits (on a slow client, on a database) serves nobody else. Compare
// thread_per_request.cpp, which differs from this file in dispatch alone.
#include "server.hpp"

class ThreadPool : public Server {
  public:
    using Server::Server;

  protected:
    void start() override {
        for (int64_t i = 0; i < workers_; ++i) {
            threads_.enter();
            std::thread([this] {
                work_until_closed();
                threads_.leave();
            }).detach();
        }
    }

    // ---- acceptor thread
    void dispatch(Connection connection) override {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            if (queue_.size() >= most_)
                throw Overloaded{"the queue is full", &Counters::rejected_queue_full};
            queue_.push_back(std::move(connection));
            peak_.note(queue_.size());
        }
        not_empty_.notify_one();
    }

    bool drain(int64_t ns) override {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            closed_ = true;
        }
        not_empty_.notify_all();
        return threads_.none_within(ns);
    }

    std::vector<Connection> abandon() override {
        const std::lock_guard<std::mutex> lock(mutex_);
        std::vector<Connection> left(queue_.begin(), queue_.end());
        queue_.clear();
        return left;
    }

    // ---- housekeeping thread
    Gauges gauges() override {
        return {workers_, workers_, workers_, workers_ * (now_ns() - started_ns),
                depth(),  peak_.window, counters.waited_ns};
    }
    std::pair<int64_t, int64_t> step_peaks() override {
        return {workers_, peak_.take_step(depth())};
    }
    void open_window() override { peak_.reset(depth()); }

  private:
    // ---- each worker: the next connection, until there are no more
    void work_until_closed() {
        for (;;) {
            std::unique_lock<std::mutex> lock(mutex_);
            not_empty_.wait(lock, [this] { return !queue_.empty() || closed_; });
            if (queue_.empty()) return;
            const Connection connection = std::move(queue_.front());
            queue_.pop_front();
            lock.unlock();
            handle(connection);
        }
    }

    int64_t depth() {
        const std::lock_guard<std::mutex> lock(mutex_);
        return queue_.size();
    }

    const int64_t workers_ = options.number("workers");
    const size_t most_ = options.number("queue_size");
    std::mutex mutex_;
    std::condition_variable not_empty_;
    std::deque<Connection> queue_;  // under the mutex, as is `closed_`
    bool closed_ = false;
    Threads threads_;
    Peak peak_;
};

int main(int argc, char** argv) { _exit((new ThreadPool(argc, argv))->run()); }
