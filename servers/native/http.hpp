// HTTP/1.x on the wire: one request in, one response out, then the connection closes.
//
// Strictly: what request smuggling lives on (a bare LF, two lengths, a folded header, a signed
// length) is an error. What follows the first request on a connection is ignored.
#pragma once

#include <cstdint>
#include <cstring>
#include <ctime>
#include <string>
#include <utility>
#include <vector>

constexpr size_t MAX_HEADER_BYTES = 16 * 1024;
constexpr size_t MAX_BODY_BYTES = 1024 * 1024;
// As it is sent: headers, body, and as much again for the framing of chunks.
constexpr size_t MAX_REQUEST_BYTES = MAX_HEADER_BYTES + 2 * MAX_BODY_BYTES;

// A request that gets an error response. `detail` is one sentence, without quotes and without
// anything that a client sent; `headers` whole lines; `path` the field at fault (422 only).
struct Problem {
    int status;
    std::string detail;
    std::string headers = "";
    std::string path = "";
};

inline const char* phrase(int status) {
    switch (status) {
        case 200: return "OK";
        case 202: return "Accepted";
        case 400: return "Bad Request";
        case 401: return "Unauthorized";
        case 403: return "Forbidden";
        case 404: return "Not Found";
        case 405: return "Method Not Allowed";
        case 408: return "Request Timeout";
        case 409: return "Conflict";
        case 413: return "Request Entity Too Large";
        case 421: return "Misdirected Request";
        case 422: return "Unprocessable Entity";
        case 429: return "Too Many Requests";
        case 431: return "Request Header Fields Too Large";
        case 503: return "Service Unavailable";
        default: return "Internal Server Error";
    }
}

// The bytes of a response that ends its connection.
inline std::string response(int status, const std::string& body,
                            const char* type = "application/json",
                            const std::string& headers = "") {
    const time_t now = time(nullptr);
    struct tm utc;
    char date[64];
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &utc));
    std::string out;
    out.reserve(256 + body.size());
    out.append("HTTP/1.1 ").append(std::to_string(status)).append(" ").append(phrase(status));
    out.append("\r\nDate: ").append(date).append("\r\nContent-Type: ").append(type);
    out.append("\r\nContent-Length: ").append(std::to_string(body.size())).append("\r\n");
    return out.append(headers).append("Connection: close\r\n\r\n").append(body);
}

inline std::string problem_body(const Problem& problem) {
    std::string body = R"({"type":"about:blank","title":")" + std::string(phrase(problem.status)) +
                       R"(","status":)" + std::to_string(problem.status) + R"(,"detail":")" +
                       problem.detail + '"';
    if (!problem.path.empty()) body += R"(,"path":")" + problem.path + '"';
    return body + '}';
}

inline std::string problem_response(const Problem& problem) {
    return response(problem.status, problem_body(problem), "application/problem+json",
                    problem.headers);
}

inline std::string lower(std::string text) {
    for (char& c : text)
        if (c >= 'A' && c <= 'Z') c += 'a' - 'A';
    return text;
}

// A request as it comes in: `feed` it what was received until it is `complete`. One byte after the
// other, so that what cannot become a good request is refused before more of it is awaited.
class Request {
  public:
    std::string method, target, client_id, body;
    std::vector<std::pair<std::string, std::string>>* keep = nullptr;  // where to leave all headers
    bool headers_complete = false, complete = false, expects_continue = false;
    bool trailing = false;  // bytes beyond the request have come in
    bool is_1_1 = true;
    int hosts = 0;

    // Throws `Problem` when it cannot become a good request.
    void feed(const char* data, size_t size) {
        for (size_t at = 0; at < size;) {
            if (complete) {
                trailing = true;
                return;
            }
            if (state_ == Body || state_ == ChunkData) {
                const size_t taken = left_ < size - at ? left_ : size - at;
                body.append(data + at, taken);
                at += taken;
                if (body.size() > MAX_BODY_BYTES) too_large();
                if ((left_ -= taken) == 0) state_ == Body ? finish() : go(ChunkCr);
            } else {
                if (!headers_complete && ++head_bytes_ > MAX_HEADER_BYTES)
                    throw Problem{431, "The headers are over 16384 bytes."};
                take(data[at++]);
            }
        }
    }

    // The target without scheme, authority and query.
    std::string path() const {
        std::string path = target.substr(0, target.find('?'));
        const size_t scheme = path.find("://");
        if (path[0] == '/' || scheme == std::string::npos) return path;
        const std::string name = lower(path.substr(0, scheme));
        if (name != "http" && name != "https") return path;
        const size_t slash = path.find('/', scheme + 3);
        return slash == std::string::npos ? "/" : path.substr(slash);
    }

  private:
    enum State {
        Start, StartLf, Method, BeforeTarget, Target, BeforeVersion, Version, LineStart, Name, Value,
        ValueLf, EndLf, Body, ChunkSize, ChunkExtension, ChunkSizeLf, ChunkData, ChunkCr, ChunkLf
    };
    State state_ = Start;
    std::string name_, value_;
    size_t head_bytes_ = 0, version_at_ = 0, digits_ = 0;
    uint64_t length_ = 0, left_ = 0;
    bool has_length_ = false, chunked_ = false, other_coding_ = false;

    [[noreturn]] static void bad(const char* why) {
        throw Problem{400, std::string("This is not HTTP/1.1: ") + why + "."};
    }
    [[noreturn]] static void too_large() { throw Problem{413, "The body is over 1048576 bytes."}; }
    void go(State state) { state_ = state; }
    void must(bool holds, const char* why) {
        if (!holds) bad(why);
    }
    void finish() { complete = true; }

    void take(char c) {
        switch (state_) {
            case Start:  // empty lines before a request are skipped
                if (c == '\r') return go(StartLf);
                must(c != '\n', "a line ends with CRLF, an empty one too");
                go(Method);
                [[fallthrough]];
            case Method:
                if (c == ' ') return end_method();
                must(c >= 'A' && c <= 'Z' && method.size() < 8, "no such method");
                method += c;
                return;
            case StartLf:
                must(c == '\n', "a line ends with CRLF, an empty one too");
                return go(Start);
            case BeforeTarget:
                if (c == ' ') return;
                go(Target);
                [[fallthrough]];
            case Target:
                if (c == ' ') return end_target();
                must(c > ' ' && c < 127, "a target is printable ASCII, and a version follows it");
                target += c;
                return;
            case BeforeVersion:
                if (c == ' ') return;
                go(Version);
                [[fallthrough]];
            case Version: return take_version(c);
            case ChunkSize: return take_chunk_size(c);
            case ChunkExtension:
                if (c == '\r') return go(ChunkSizeLf);
                return must(c == '\t' || (c >= ' ' && c < 127), "a chunk extension is no text");
            case ChunkSizeLf:
                must(c == '\n', "a line ends with CRLF");
                return go(left_ == 0 ? LineStart : ChunkData);  // after the last one: trailers
            case ChunkCr:
                must(c == '\r', "a chunk is longer than its size");
                return go(ChunkLf);
            case ChunkLf:
                must(c == '\n', "a chunk ends with CRLF");
                digits_ = 0;
                return go(ChunkSize);
            default: return take_header(c);
        }
    }

    void end_method() {
        for (const char* known : {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS",
                                  "TRACE", "CONNECT"})
            if (method == known) return go(BeforeTarget);
        bad("no such method");
    }

    void end_target() {
        const size_t scheme = target.find("://");
        must(target[0] == '/' || target == "*" || method == "CONNECT" ||
                 (scheme != std::string::npos && scheme > 0),
             "a target begins with a slash or a scheme");
        go(BeforeVersion);
    }

    void take_version(char c) {
        static const char expected[] = "HTTP/1.?\r\n";
        const size_t at = version_at_++;
        if (expected[at] == '?') {
            must(c == '0' || c == '1', "the request line must end with HTTP/1.1");
            is_1_1 = c == '1';
        } else {
            must(c == expected[at], "the request line must end with HTTP/1.1");
            if (c == '\n') go(LineStart);
        }
    }

    // Headers, and trailers, which have the same form.
    void take_header(char c) {
        const auto byte = static_cast<unsigned char>(c);
        switch (state_) {
            case LineStart:
                if (c == '\r') return go(EndLf);
                name_.clear();
                value_.clear();
                go(Name);
                [[fallthrough]];
            case Name:
                if (c == ':' && !name_.empty()) return go(Value);
                must(isalnum(byte) ? byte < 128 : c && strchr("!#$%&'*+-.^_`|~", c) != nullptr,
                     "that is no name of a header");
                name_ += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 'a' - 'A') : c;
                return;
            case Value:
                if (c == '\r') return go(ValueLf);
                must(c == '\t' || (byte >= ' ' && byte != 127), "that is no value of a header");
                if (!value_.empty() || (c != ' ' && c != '\t')) value_ += c;
                return;
            case ValueLf:
                must(c == '\n', "a line ends with CRLF");
                value_.resize(value_.find_last_not_of(" \t") + 1);
                header();
                return go(LineStart);
            default:
                must(c == '\n', "a line ends with CRLF");
                return headers_complete ? finish() : end_head();
        }
    }

    void header() {
        if (headers_complete) return must(name_ != "content-length", "a length in the trailers");
        if (keep) keep->emplace_back(name_, value_);
        if (name_ == "host") {
            ++hosts;
        } else if (name_ == "content-length") {
            must(!has_length_ && !value_.empty(), "Content-Length is one number");
            has_length_ = true;
            for (const char c : value_) {
                must(c >= '0' && c <= '9', "Content-Length is one number");
                must(!__builtin_mul_overflow(length_, 10, &length_) &&
                         !__builtin_add_overflow(length_, c - '0', &length_),
                     "Content-Length is beyond 64 bits");
            }
        } else if (name_ == "transfer-encoding") {
            other_coding_ |= chunked_ || lower(value_) != "chunked";  // twice is another one
            chunked_ = true;
        } else if (name_ == "x-client-id") {
            client_id = value_;
        } else if (name_ == "expect") {
            // RFC 9110 10.1.1: to be ignored in HTTP/1.0, where nobody knows of interim responses.
            expects_continue = is_1_1 && lower(value_) == "100-continue";
        }
    }

    void end_head() {
        headers_complete = true;
        if (length_ > MAX_BODY_BYTES) too_large();
        must(!(chunked_ && has_length_), "it has two lengths");
        // RFC 9112 6.1: what this server cannot undo, and what HTTP/1.0 does not know.
        if (other_coding_ || (chunked_ && !is_1_1))
            throw Problem{400, "The only transfer coding here is chunked, in HTTP/1.1."};
        if (!keep && hosts != 1 && (hosts || is_1_1))
            throw Problem{400, "A request has one Host header; this one has " +
                                   std::to_string(hosts) + "."};
        left_ = length_;
        if (method == "CONNECT" || !(chunked_ || length_)) return finish();
        go(chunked_ ? ChunkSize : Body);
    }

    void take_chunk_size(char c) {
        if (digits_ > 0 && c == ';') return go(ChunkExtension);
        if (digits_ > 0 && c == '\r') return go(ChunkSizeLf);
        if (digits_ == 0) left_ = 0;
        must(isxdigit(static_cast<unsigned char>(c)) && ++digits_ <= 16, "that is no chunk size");
        left_ = left_ * 16 + (c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
    }
};
