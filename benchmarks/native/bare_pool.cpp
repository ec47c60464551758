// The least that a thread pool is: accept_loop.cpp with 16 workers before a deque, which a mutex
// guards and a condition variable announces.
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "bare.hpp"

int main() {
    const int listener = listening();
    std::mutex mutex;
    std::condition_variable not_empty;
    std::deque<int> queue;
    for (int i = 0; i < 16; ++i)
        std::thread([&] {
            for (;;) {
                std::unique_lock<std::mutex> lock(mutex);
                not_empty.wait(lock, [&] { return !queue.empty(); });
                const int connection = queue.front();
                queue.pop_front();
                lock.unlock();
                answer(connection);
            }
        }).detach();
    for (;;) {
        const int connection = accept(listener, nullptr, nullptr);
        {
            const std::lock_guard<std::mutex> lock(mutex);
            queue.push_back(connection);
        }
        not_empty.notify_one();
    }
}
