// JSON as RFC 8259 has it: strict, of bounded depth, no key twice; and what a metric is.
#pragma once

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstdlib>
#include <string_view>

#include "http.hpp"

// The reader recurses on the stack of its thread, so what a client may nest must fit into the
// smallest one (--stack-size 32KiB). A batch of metrics with tags is 3 deep.
constexpr int MAX_NESTING = 16;
constexpr size_t MAX_BATCH = 1000, MAX_TAGS = 32, MAX_NAME = 200;

struct Json {
    enum Kind { Null, Bool, Number, String, Array, Object };
    Kind kind = Null;
    double number = 0;
    std::string text;
    std::vector<Json> items;  // of an object: key, value, key, value, ...
};

class JsonReader {
  public:
    explicit JsonReader(const std::string& text) : at_(text.c_str()), end_(at_ + text.size()) {}

    // The one value in the text. Throws `Problem` 400.
    Json document() {
        Json found = value(0);
        if (peek() != Nothing) bad("something follows the value");
        return found;
    }

  private:
    static constexpr int Nothing = -1;
    const char* at_;
    const char* const end_;

    [[noreturn]] static void bad(const std::string& why) {
        throw Problem{400, "The body is not JSON that can be read: " + why + "."};
    }
    int here() const { return at_ < end_ ? static_cast<unsigned char>(*at_) : Nothing; }
    int peek() {  // the next byte that is no white space
        while (at_ < end_ && (*at_ == ' ' || *at_ == '\t' || *at_ == '\r' || *at_ == '\n')) ++at_;
        return here();
    }
    bool eat(char c) {
        if (peek() != c) return false;
        ++at_;
        return true;
    }

    Json value(int depth) {
        Json found;
        switch (peek()) {
            case '{': return object(depth + 1);
            case '[': return array(depth + 1);
            case '"': found.kind = Json::String; found.text = string(); return found;
            case 't': word("true"); found.kind = Json::Bool; return found;
            case 'f': word("false"); found.kind = Json::Bool; return found;
            case 'n': word("null"); return found;
            default: found.kind = Json::Number; found.number = number(); return found;
        }
    }

    void word(std::string_view expected) {
        if (std::string_view(at_, end_ - at_).substr(0, expected.size()) != expected)
            bad("a value is no word that JSON has");
        at_ += expected.size();
    }

    static void not_deep(int depth) {
        if (depth > MAX_NESTING)
            throw Problem{400, "The body is nested over 16 deep, or lacks a bracket."};
    }

    Json array(int depth) {
        not_deep(depth);
        Json found;
        found.kind = Json::Array;
        ++at_;
        if (eat(']')) return found;
        do found.items.push_back(value(depth));
        while (eat(','));
        if (!eat(']')) bad("an array is not closed");
        return found;
    }

    Json object(int depth) {
        not_deep(depth);
        Json found;
        found.kind = Json::Object;
        ++at_;
        if (eat('}')) return found;
        do {
            if (peek() != '"') bad("a key is no string");
            found.items.push_back(value(depth));
            if (!eat(':')) bad("a key has no colon");
            found.items.push_back(value(depth));
        } while (eat(','));
        if (!eat('}')) bad("an object is not closed");
        no_key_twice(found);
        return found;
    }

    static void no_key_twice(const Json& object) {
        std::vector<std::string_view> keys;
        for (size_t i = 0; i < object.items.size(); i += 2) keys.push_back(object.items[i].text);
        std::sort(keys.begin(), keys.end());
        if (std::adjacent_find(keys.begin(), keys.end()) != keys.end())
            throw Problem{400, "The body has an object with a key twice."};
    }

    bool digits() {
        const char* const first = at_;
        while (here() >= '0' && here() <= '9') ++at_;
        return at_ > first;
    }

    // A double; infinite beyond one.
    double number() {
        const char* const first = at_;
        if (here() == '-') ++at_;
        const bool zero = here() == '0';
        const char* const whole = at_;
        if (!digits() || (zero && at_ - whole > 1)) bad("a value is no number that JSON has");
        if (here() == '.' && (++at_, !digits())) bad("a point has no digit behind it");
        if (here() == 'e' || here() == 'E') {
            ++at_;
            if (here() == '+' || here() == '-') ++at_;
            if (!digits()) bad("an exponent has no digits");
        }
        return strtod(first, nullptr);  // the text ends with a NUL
    }

    std::string string() {
        std::string text;
        for (++at_;;) {
            const char* const first = at_;
            while (here() >= ' ' && *at_ != '"' && *at_ != '\\' && here() < 128) ++at_;
            text.append(first, at_);
            if (here() < ' ') bad("a string is not closed, or has a control character");
            if (here() >= 128) {
                utf8(text);
            } else if (*at_++ == '"') {
                return text;
            } else {
                escape(text);
            }
        }
    }

    void escape(std::string& text) {
        static const char names[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
        const int c = here();
        if (at_ < end_) ++at_;
        const char* const found = c > 0 ? strchr(names, c) : nullptr;
        if (found) {
            text += means[found - names];
            return;
        }
        if (c != 'u') bad("there is no such escape");
        unsigned point = hex4();
        if (point >= 0xD800 && point < 0xDC00) {
            if (end_ - at_ < 2 || at_[0] != '\\' || at_[1] != 'u') bad("half of a surrogate pair");
            at_ += 2;
            const unsigned low = hex4();
            if (low < 0xDC00 || low > 0xDFFF) bad("half of a surrogate pair");
            point = 0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00);
        } else if (point >= 0xDC00 && point <= 0xDFFF) {
            bad("half of a surrogate pair");
        }
        append(text, point);
    }

    unsigned hex4() {
        unsigned found = 0;
        for (int i = 0; i < 4; ++i, ++at_) {
            const int c = here();
            if (c < 0 || !isxdigit(c)) bad("an escape has four digits");
            found = found * 16 + (c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
        }
        return found;
    }

    static void append(std::string& text, unsigned point) {
        if (point < 0x80) {
            text += static_cast<char>(point);
            return;
        }
        const int more = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
        text += static_cast<char>((0xF0 << (3 - more)) | (point >> (6 * more)));
        for (int i = more - 1; i >= 0; --i)
            text += static_cast<char>(0x80 | ((point >> (6 * i)) & 0x3F));
    }

    // One character beyond ASCII: neither longer than it must be, nor half of a pair.
    void utf8(std::string& text) {
        const int lead = here();
        const int more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
        unsigned point = lead & (0x3F >> more);
        bool good = lead >= 0xC2 && lead <= 0xF4 && end_ - at_ > more;
        for (int i = 1; good && i <= more; ++i) {
            good = (at_[i] & 0xC0) == 0x80;
            point = point << 6 | (at_[i] & 0x3F);
        }
        static const unsigned least[] = {0, 0x80, 0x800, 0x10000};
        if (!good || point < least[more] || point > 0x10FFFF || (point >> 11) == 0x1B)
            throw Problem{400, "The body is not UTF-8."};
        text.append(at_, more + 1);
        at_ += more + 1;
    }
};

// ---- what a metric is ----------------------------------------------------------------------------

[[noreturn]] inline void wrong(const std::string& path, const std::string& reason) {
    throw Problem{422, reason + " at " + path + ".", "", path};
}

inline bool is_name(const std::string& text) {
    if (text.empty() || text.size() > MAX_NAME || (text[0] >= '0' && text[0] <= '9')) return false;
    return std::all_of(text.begin(), text.end(), [&](const char& c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
               (&c > &text[0] && ((c >= '0' && c <= '9') || (c && strchr(".:/-", c))));
    });
}

inline void validate_tags(const Json& tags, const std::string& path) {
    if (tags.kind == Json::Null) return;
    if (tags.kind != Json::Object) wrong(path, "Expected `object` or `null`");
    if (tags.items.size() / 2 > MAX_TAGS) wrong(path, "Expected `object` of length <= 32");
    for (size_t i = 1; i < tags.items.size(); i += 2)
        if (tags.items[i].kind != Json::String) wrong(path + "[...]", "Expected `str`");
}

inline void validate_metric(const Json& metric, const std::string& path) {
    if (metric.kind != Json::Object) wrong(path, "Expected `object`");
    bool has_name = false, has_value = false;
    for (size_t i = 0; i < metric.items.size(); i += 2) {
        const std::string& key = metric.items[i].text;
        const Json& value = metric.items[i + 1];
        const bool finite = value.kind == Json::Number && std::abs(value.number) <= DBL_MAX;
        if (key == "name") {
            has_name = true;
            if (value.kind != Json::String) wrong(path + ".name", "Expected `str`");
            if (!is_name(value.text))
                wrong(path + ".name", "Expected `str` that is a letter or _, and then at most 199 "
                                      "letters, digits and _.:/-");
        } else if (key == "value") {
            has_value = true;
            if (!finite) wrong(path + ".value", "Expected a finite `float`");
        } else if (key == "timestamp") {
            if (!finite && value.kind != Json::Null)
                wrong(path + ".timestamp", "Expected a finite `float` or `null`");
        } else if (key == "tags") {
            validate_tags(value, path + ".tags");
        }
    }
    if (!has_name) wrong(path, "Object missing required field `name`");
    if (!has_value) wrong(path, "Object missing required field `value`");
}

// How many metrics the value holds. Throws `Problem` 422 with the path of the field at fault.
inline size_t validate(const Json& value) {
    if (value.kind != Json::Array) {
        validate_metric(value, "$");
        return 1;
    }
    const size_t count = value.items.size();
    if (count < 1 || count > MAX_BATCH) wrong("$", "Expected `array` of length from 1 to 1000");
    for (size_t i = 0; i < count; ++i)
        validate_metric(value.items[i], "$[" + std::to_string(i) + "]");
    return count;
}
