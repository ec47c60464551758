// Thread per request: every connection gets a new thread, which ends with it.
//
//     main thread                         one new thread for each connection
//     -----------                         ----------------------------------
//     accept()
//       std::thread(...).detach()  -----> read, parse, rate limit, decode,
//     accept()                            validate, write, close
//       std::thread(...).detach()  -----> ...            (the thread ends)
//
// Nothing limits how many threads there are but the operating system (or --max-threads). Compare
// thread_pool.cpp, which differs from this file in dispatch alone.
#include "server.hpp"

class ThreadPerRequest : public Server {
  public:
    using Server::Server;

  protected:
    // ---- acceptor thread
    void dispatch(Connection connection) override {
        if (most_ && threads_.count() >= most_)
            throw Overloaded{busy_.c_str(), &Counters::rejected_no_thread};
        const int64_t live = threads_.enter();
        try {
            std::thread([this, connection] {
                handle(connection);
                threads_.leave();
            }).detach();
        } catch (const std::system_error&) {
            threads_.leave();
            throw Overloaded{"no thread can be started", &Counters::rejected_no_thread};
        }
        ++created_;
        peak_.note(live);
    }

    bool drain(int64_t ns) override { return threads_.none_within(ns); }

    // ---- housekeeping thread
    Gauges gauges() override {
        // A thread lives as long as its request: from accept until the handler is done with it.
        return {created_, threads_.count(), peak_.window, counters.waited_ns + counters.handled_ns};
    }
    std::pair<int64_t, int64_t> step_peaks() override {
        return {peak_.take_step(threads_.count()), -1};
    }
    void open_window() override { peak_.reset(threads_.count()); }

  private:
    const int64_t most_ = options.number("max_threads");
    const std::string busy_ = "all of its " + std::to_string(most_) + " threads are busy";
    Threads threads_;
    Number created_{0};
    Peak peak_;
};

int main(int argc, char** argv) { _exit((new ThreadPerRequest(argc, argv))->run()); }
