// What the two programs beside this share. Standard output gets the port, as JSON.
#pragma once

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

inline int listening() {
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in here = {};
    here.sin_family = AF_INET;
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof here;
    auto* const address = reinterpret_cast<struct sockaddr*>(&here);
    if (bind(listener, address, size) || listen(listener, 4096)) _exit(1);
    getsockname(listener, address, &size);
    printf("{\"port\": %d}\n", ntohs(here.sin_port));
    fflush(stdout);
    return listener;
}

inline void answer(int connection) {
    static const char response[] =
        "HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 15\r\n"
        "Connection: close\r\n\r\n{\"accepted\": 1}";
    char request[4096];
    if (connection < 0) return;
    if (recv(connection, request, sizeof request, 0) > 0)
        send(connection, response, sizeof response - 1, MSG_NOSIGNAL);
    close(connection);
}
