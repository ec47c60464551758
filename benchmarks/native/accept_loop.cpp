// What one connection a request costs at least: one thread that accepts, reads once, writes an
// answer that is always the same, and closes. No thread, no parsing, no limits: nothing to use.
#include "bare.hpp"

int main() {
    const int listener = listening();
    for (;;) answer(accept(listener, nullptr, nullptr));
}
