// What harness/machine/thread_cost.py and queue_cost.py measure, in C++: one line of JSON.
//
//     native_cost STACK_BYTES LOCK WORKERS
//
// Threads are started as thread_per_request.cpp starts them, std::thread(...).detach(); the queue is
// that of thread_pool.cpp, a deque under a mutex with a condition variable, before WORKERS workers.
// Times are wall times in microseconds, one figure (a median) for each batch.
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

constexpr int BATCHES = 9, THREADS = 150, ALIVE = 64, PUTS = 500;
using Times = std::vector<double>;

static double clock_us(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * 1e6 + now.tv_nsec / 1e3;
}
static double now_us() { return clock_us(CLOCK_MONOTONIC); }

static double quantile(Times times, double share) {
    std::sort(times.begin(), times.end());
    return times[std::min<size_t>(times.size() - 1, times.size() * share)];
}

// One after the other: creation (until the call returns), start (until the thread's first
// instruction), end (from its last instruction until the kernel no longer knows it).
static void lives(Times (&found)[5]) {
    Times create, start, end, cpu;
    for (int i = 0; i < THREADS; ++i) {
        std::atomic<pid_t> thread{0};
        double first = 0, last = 0;
        const double cpu_us = clock_us(CLOCK_THREAD_CPUTIME_ID), began = now_us();
        std::thread([&] {
            first = now_us();
            const pid_t me = syscall(SYS_gettid);
            last = now_us();
            thread = me;
        }).detach();
        const double returned = now_us(), spent = clock_us(CLOCK_THREAD_CPUTIME_ID) - cpu_us;
        while (!thread) sched_yield();
        while (syscall(SYS_tgkill, getpid(), thread.load(), 0) == 0) sched_yield();
        end.push_back(now_us() - last);
        create.push_back(returned - began);
        start.push_back(first - began);
        cpu.push_back(spent);
    }
    found[0].push_back(quantile(create, 0.5));
    found[1].push_back(quantile(start, 0.5));
    found[2].push_back(quantile(end, 0.5));
    found[3].push_back(quantile(cpu, 0.5));
    found[4].push_back(quantile(end, 0.99));
}

// Process CPU for a whole life; the creator sleeps meanwhile.
static double life_cpu_us() {
    sem_t ended;
    sem_init(&ended, 0, 0);
    const double before = clock_us(CLOCK_PROCESS_CPUTIME_ID);
    for (int i = 0; i < THREADS; ++i) {
        std::thread([&ended] { sem_post(&ended); }).detach();
        sem_wait(&ended);
    }
    return (clock_us(CLOCK_PROCESS_CPUTIME_ID) - before) / THREADS;
}

// The start of threads that are all alive at once: the later ones get a stack never used before.
static double fresh_start_us() {
    sem_t gate, begun;
    sem_init(&gate, 0, 0);
    sem_init(&begun, 0, 0);
    Times starts;
    std::vector<std::thread> alive;
    double first = 0;
    for (int i = 0; i < ALIVE; ++i) {
        const double began = now_us();
        alive.emplace_back([&] {
            first = now_us();
            sem_post(&begun);
            sem_wait(&gate);
        });
        sem_wait(&begun);
        starts.push_back(first - began);
    }
    for (int i = 0; i < ALIVE; ++i) sem_post(&gate);
    for (std::thread& thread : alive) thread.join();
    return quantile(Times(starts.begin() + ALIVE / 2, starts.end()), 0.5);
}

// A put into the queue of workers that wait for work, so it includes waking one of them.
static Times enqueue_us(int workers) {
    std::mutex mutex;
    std::condition_variable not_empty;
    std::deque<int> queue;
    sem_t taken;
    sem_init(&taken, 0, 0);
    std::vector<std::thread> pool;
    for (int i = 0; i < workers; ++i)
        pool.emplace_back([&] {
            for (;;) {
                std::unique_lock<std::mutex> lock(mutex);
                not_empty.wait(lock, [&] { return !queue.empty(); });
                const int item = queue.front();
                queue.pop_front();
                lock.unlock();
                if (item < 0) return;
                sem_post(&taken);
            }
        });
    const auto put = [&](int item) {
        {
            const std::lock_guard<std::mutex> lock(mutex);
            queue.push_back(item);
        }
        not_empty.notify_one();
    };
    Times found;
    for (int batch = 0; batch <= BATCHES; ++batch) {
        Times times;
        for (int i = 0; i < PUTS; ++i) {
            const double began = now_us();
            put(i);
            times.push_back(now_us() - began);
            sem_wait(&taken);
        }
        if (batch) found.push_back(quantile(times, 0.5));  // the first one warms up
    }
    for (int i = 0; i < workers; ++i) put(-1);
    for (std::thread& worker : pool) worker.join();
    return found;
}

static void tell(const char* name, const Times& times) {
    printf("\"%s\":[", name);
    for (size_t i = 0; i < times.size(); ++i) printf("%s%.4f", i ? "," : "", times[i]);
    printf("]");
}

int main(int argc, char** argv) {
    if (argc != 4) return 2;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, strtoul(argv[1], nullptr, 10));
    pthread_setattr_default_np(&attributes);
    if (argv[2][0] == '1' && mlockall(MCL_CURRENT | MCL_FUTURE)) {
        perror("mlockall failed (run as root or raise ulimit -l)");
        return 1;
    }
    Times warm[5], found[5], life, fresh;
    lives(warm);
    for (int i = 0; i < BATCHES; ++i) lives(found);
    for (int i = 0; i < BATCHES; ++i) life.push_back(life_cpu_us());
    for (int i = 0; i < BATCHES; ++i) fresh.push_back(fresh_start_us());
    const char* const names[] = {"create_us", "start_us", "end_us", "create_cpu_us", "end_p99_us"};
    printf("{");
    for (int i = 0; i < 5; ++i) tell(names[i], found[i]), printf(",");
    tell("life_cpu_us", life);
    printf(",");
    tell("fresh_start_us", fresh);
    printf(",");
    tell("enqueue_us", enqueue_us(atoi(argv[3])));
    printf("}\n");
    return 0;
}
