"""The two servers in the design document's own language, C++17.

`thread_per_request.cpp` and `thread_pool.cpp` differ in dispatch alone, as the two of Python do;
what they share is in the headers. They are built on first use (`build`) and take the place of the
Python process that was started for them (`launch`), so that the lab drives them as any server.
"""
