"""Second hints: what is said of an exercise once a second answer to it was wrong too. They go on
from its first hint, mostly by an example with other figures, and never give the answer."""

from __future__ import annotations

SECOND_HINTS = {
    "0.1": 'A row is a finding if its interval leaves out 1; table()["verdict"] has the word for '
           "each.",
    "1.1": 'steps()["median_us"] has a column for each server, and .loc["read":"close"] takes a '
           "stretch of its rows. sum() leaves out what a server does not have.",
    "2.1": "With other figures: 50 customers an hour, each for 6 minutes, which is 0.1 hours, are "
           "50 × 0.1 = 5 in the shop. Rate and time have the same unit of time.",
    "2a.1": "Each has three lines, and the last of them alone writes. What counts is what each had "
            "read by then, and not who writes last.",
    "2a.2": "Let A read 0 and stop there while B goes on for long; then A writes. What has become "
            "of B's work, and which rounds should B still have before it?",
    "2b.3": "Who has both locks comes to an end. So who must have moved before anybody moves for a "
            "second time?",
    "2b.5": "Give each one fork, and count the forks that are left over. What can somebody do who "
            "sits beside one of these?",
    "3.4": "With other figures: a worker that is busy for 50 ms with each ends 1 / 0.050 = 20 a "
           "second, and 4 workers end 4 × 20 = 80.",
    "3.5": "With other figures: 100 a second that stay for 20 ms each are 100 × 0.020 = 2 at any "
           "moment.",
    "3.6": "With other figures: where 100 a second leave and nobody is to wait for more than 3 s, "
           "300 may stand before the last.",
    "4.1": "experiment.requests has a row for each request of all rounds. Its column response_us "
           "has a method quantile(0.99); nothing needs to be grouped.",
    "5.1": "idxmax() of numbers that have names is the name of the largest.",
    "6.1": "With other figures: 1,000 a second that keep a worker for 5 ms each keep "
           "1,000 × 0.005 = 5 of them busy.",
    "7.1": "With other figures: at 200 µs a request a whole core serves 1,000,000 / 200 = 5,000 a "
           "second, and half of one 2,500. The cost is a figure of the run, at 2000.",
}  # fmt: skip
