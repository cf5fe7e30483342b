// Base64, hexadecimal, durations, names and addresses.
#include "codec/text.h"

#include <arpa/inet.h>

#define ALNUM "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

size_t sld_base64_put(char *to, struct sld_str s, bool url)
{
    const char *digits = url ? ALNUM "-_" : ALNUM "+/";
    size_t o = 0;
    for (size_t i = 0; i < s.n; i += 3) {
        uint32_t v = (uint32_t)(unsigned char)s.p[i] << 16;
        if (i + 1 < s.n)
            v |= (uint32_t)(unsigned char)s.p[i + 1] << 8;
        if (i + 2 < s.n)
            v |= (unsigned char)s.p[i + 2];
        to[o++] = digits[v >> 18];
        to[o++] = digits[(v >> 12) & 63];
        if (i + 1 < s.n || !url)
            to[o++] = i + 1 < s.n ? digits[(v >> 6) & 63] : '=';
        if (i + 2 < s.n || !url)
            to[o++] = i + 2 < s.n ? digits[v & 63] : '=';
    }
    return o;
}

struct sld_str sld_base64_encode(struct sld_arena *a, struct sld_str s)
{
    char *out = sld_arena_alloc(a, (s.n + 2) / 3 * 4 + 1);
    return (struct sld_str){out, sld_base64_put(out, s, false)};
}

static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    if (c == '/' || c == '_')
        return 63;
    return -1;
}

bool sld_base64_decode(struct sld_arena *a, struct sld_str s, struct sld_str *out)
{
    char *p = sld_arena_alloc(a, s.n / 4 * 3 + 4);
    size_t n = 0;
    uint32_t v = 0;
    unsigned digits = 0, padding = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '\n' || c == '\r')
            continue;
        if (c == '=') {
            padding++;
            continue;
        }
        int d = base64_digit(c);
        if (d < 0 || padding)
            return false;
        v = v << 6 | (uint32_t)d;
        if (++digits % 4 == 0) {
            p[n++] = (char)(v >> 16);
            p[n++] = (char)(v >> 8);
            p[n++] = (char)v;
            v = 0;
        }
    }
    unsigned left = digits % 4;
    if (left == 1 || (padding && padding != (4 - left) % 4))
        return false;
    if (left >= 2)
        p[n++] = (char)(v >> (left == 2 ? 4 : 10));
    if (left == 3)
        p[n++] = (char)(v >> 2);
    *out = (struct sld_str){p, n};
    return true;
}

bool sld_base64_take(char *to, size_t *n, struct sld_str s, bool url)
{
    uint32_t v = 0;
    if (!url) {
        if (s.n % 4)
            return false;
        for (int i = 0; i < 2 && s.n && s.p[s.n - 1] == '='; i++)
            s.n--;
    }
    *n = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        int d = base64_digit(c);
        if (d < 0 || (d == 62 && c != (url ? '-' : '+')) || (d == 63 && c != (url ? '_' : '/')))
            return false;
        v = v << 6 | (uint32_t)d;
        if (i % 4 == 3) {
            to[(*n)++] = (char)(v >> 16);
            to[(*n)++] = (char)(v >> 8);
            to[(*n)++] = (char)v;
            v = 0;
        }
    }
    unsigned left = s.n % 4;
    if (left == 1 || (left == 2 && (v & 15)) || (left == 3 && (v & 3)))
        return false;
    if (left)
        to[(*n)++] = (char)(v >> (left == 2 ? 4 : 10));
    if (left == 3)
        to[(*n)++] = (char)(v >> 2);
    return true;
}

struct sld_str sld_hex_encode(struct sld_arena *a, struct sld_str s)
{
    static const char digits[] = "0123456789abcdef";
    char *out = sld_arena_alloc(a, s.n * 2 + 1);
    for (size_t i = 0; i < s.n; i++) {
        out[2 * i] = digits[(unsigned char)s.p[i] >> 4];
        out[2 * i + 1] = digits[(unsigned char)s.p[i] & 15];
    }
    return (struct sld_str){out, s.n * 2};
}

// The unit at the beginning of *S in nanoseconds, taken off; 0 = none.
static uint64_t take_unit(struct sld_str *s)
{
    static const struct {
        struct sld_str name;
        uint64_t ns;
    } units[] = {
        {SLD_STR_INIT("ns"), 1},
        {SLD_STR_INIT("us"), 1000},
        {SLD_STR_INIT("\xc2\xb5s"), 1000},
        {SLD_STR_INIT("\xce\xbcs"), 1000},
        {SLD_STR_INIT("ms"), 1000000},
        {SLD_STR_INIT("s"), 1000000000},
        {SLD_STR_INIT("m"), UINT64_C(60000000000)},
        {SLD_STR_INIT("h"), UINT64_C(3600000000000)},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(units); i++) {
        if (sld_str_starts(*s, units[i].name)) {
            *s = sld_str_sub(*s, units[i].name.n, s->n);
            return units[i].ns;
        }
    }
    return 0;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

enum { NS = 1000000000 };
static const uint64_t duration_max_s = UINT64_C(315576000000);

// Takes "12.5ms" off *S and adds it; false on anything else.
static bool take_part(struct sld_str *s, uint64_t *seconds, uint64_t *nanos)
{
    uint64_t whole = 0;
    struct sld_str fraction = SLD_STR("");
    size_t i = 0;
    for (; i < s->n && is_digit(s->p[i]); i++) {
        if (whole > UINT64_MAX / 20)
            return false;
        whole = whole * 10 + (uint64_t)(s->p[i] - '0');
    }
    size_t digits = i;
    if (i < s->n && s->p[i] == '.') {
        size_t from = ++i;
        while (i < s->n && is_digit(s->p[i]))
            i++;
        fraction = sld_str_sub(*s, from, i - from);
    }
    if (digits + fraction.n == 0)
        return false;
    *s = sld_str_sub(*s, i, s->n);
    uint64_t unit = take_unit(s);
    if (unit == 0)
        return false;
    uint64_t per_second = unit < NS ? NS / unit : 1, unit_seconds = unit < NS ? 0 : unit / NS;
    if (unit_seconds && whole > duration_max_s / unit_seconds)
        return false;
    *seconds += unit_seconds ? whole * unit_seconds : whole / per_second;
    *nanos += unit_seconds ? 0 : whole % per_second * unit;
    for (size_t k = 0; k < fraction.n; k++) {
        unit /= 10;
        uint64_t ns = unit * (uint64_t)(fraction.p[k] - '0');
        *seconds += ns / NS;
        *nanos += ns % NS;
    }
    *seconds += *nanos / NS;
    *nanos %= NS;
    return *seconds <= duration_max_s;
}

bool sld_duration_parse(struct sld_str s, int64_t *seconds, int32_t *nanos)
{
    bool minus = s.n && s.p[0] == '-';
    if (minus || (s.n && s.p[0] == '+'))
        s = sld_str_sub(s, 1, s.n);
    uint64_t sec = 0, ns = 0;
    if (!sld_str_eq(s, SLD_STR("0"))) {
        if (s.n == 0)
            return false;
        while (s.n) {
            if (!take_part(&s, &sec, &ns))
                return false;
        }
    }
    if (sec == duration_max_s && ns)
        return false;
    *seconds = minus ? -(int64_t)sec : (int64_t)sec;
    *nanos = minus ? -(int32_t)ns : (int32_t)ns;
    return true;
}

bool sld_is_dns1123(struct sld_str s)
{
    if (s.n == 0 || s.n > 253)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool alnum = is_digit(c) || (c >= 'a' && c <= 'z');
        bool edge = i == 0 || i + 1 == s.n || s.p[i - 1] == '.' || s.p[i + 1] == '.';
        if (!alnum && (edge || (c != '-' && c != '.')))
            return false;
    }
    return true;
}

// Behind a scheme: segments that are not empty, "." or "..", then '?' and '#' once each.
bool sld_is_store_ref(struct sld_str s)
{
    const struct sld_str plugin = SLD_STR(SLD_PLUGIN_REF);
    const struct sld_str scheme = sld_str_starts(s, plugin) ? plugin : SLD_STR(SLD_STORE_REF);
    if (!sld_str_starts(s, scheme) || s.n == scheme.n || s.n > SLD_STORE_REF_MAX)
        return false;
    struct sld_str rest = sld_str_sub(s, scheme.n, s.n), path, segment;
    for (size_t i = 0; i < rest.n; i++) {
        char c = rest.p[i];
        bool alnum = is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!alnum && (!c || !strchr("-._~/!$&()*+,;=:@%?#", c)))
            return false;
    }
    size_t n = 0, query, key;
    while (n < rest.n && rest.p[n] != '?' && rest.p[n] != '#')
        n++;
    path = sld_str_sub(rest, 0, n);
    for (query = key = 0; n < rest.n; n++) {
        query += rest.p[n] == '?' && !key;
        key += rest.p[n] == '#';
    }
    if (query > 1 || key > 1 || !path.n || sld_str_ends(rest, SLD_STR("#")) || sld_str_ends(rest, SLD_STR("?")))
        return false;
    while (sld_str_cut(&path, '/', &segment)) {
        if (!segment.n || sld_str_eq(segment, SLD_STR(".")) || sld_str_eq(segment, SLD_STR("..")))
            return false;
    }
    return true;
}

bool sld_is_service_upstream(struct sld_str s)
{
    enum { SERVICE_MAX_BYTES = 253 };
    const struct sld_str prefix = SLD_STR(SLD_CONSUL_UPSTREAM);
    if (!sld_str_starts(s, prefix) || s.n == prefix.n || s.n > prefix.n + SERVICE_MAX_BYTES)
        return false;
    for (size_t i = prefix.n; i < s.n; i++) {
        if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
            return false;
    }
    return true;
}

bool sld_is_object_name(struct sld_str s)
{
    return sld_is_dns1123(s) || sld_is_store_ref(s) || sld_is_service_upstream(s);
}

bool sld_is_ip(struct sld_str s, bool *v6)
{
    char text[INET6_ADDRSTRLEN];
    unsigned char bin[16];
    if (s.n == 0 || s.n >= sizeof(text) || memchr(s.p, 0, s.n))
        return false;
    memcpy(text, s.p, s.n);
    text[s.n] = 0;
    bool is4 = inet_pton(AF_INET, text, bin) == 1;
    bool is6 = !is4 && inet_pton(AF_INET6, text, bin) == 1;
    if (v6)
        *v6 = is6;
    return is4 || is6;
}

int sld_hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

struct sld_str sld_percent_decode(struct sld_arena *a, struct sld_str s, bool plus)
{
    char *out = sld_arena_alloc(a, s.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '+' && plus)
            c = ' ';
        if (c == '%') {
            int high = s.n - i < 3 ? -1 : sld_hex_digit(s.p[i + 1]);
            int low = high < 0 ? -1 : sld_hex_digit(s.p[i + 2]);
            if (low < 0)
                return SLD_STR_NONE;
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (c == 0)
            return SLD_STR_NONE;
        out[n++] = c;
    }
    return (struct sld_str){out, n};
}

size_t sld_utf8_put(char *to, uint32_t c)
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (char)(0xc0 | c >> 6);
        to[1] = (char)(0x80 | (c & 63));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (char)(0xe0 | c >> 12);
        to[1] = (char)(0x80 | ((c >> 6) & 63));
        to[2] = (char)(0x80 | (c & 63));
        return 3;
    }
    to[0] = (char)(0xf0 | c >> 18);
    to[1] = (char)(0x80 | ((c >> 12) & 63));
    to[2] = (char)(0x80 | ((c >> 6) & 63));
    to[3] = (char)(0x80 | (c & 63));
    return 4;
}
