#include "codec/scan.h"

#include "codec/text.h"

void sld_scan_init(struct sld_scan *s, struct sld_str text, struct sld_arena *a)
{
    *s = (struct sld_scan){.p = text.p, .end = text.n ? text.p + text.n : text.p, .a = a};
}

static bool fail(struct sld_scan *s)
{
    if (!s->bad)
        s->bad_at = s->p;
    s->bad = true;
    s->p = s->end;
    return false;
}

static void skip_space(struct sld_scan *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\n' || *s->p == '\r' || *s->p == '\t'))
        s->p++;
}

// The next byte that is not white space; 0 at the end.
static char peek(struct sld_scan *s)
{
    skip_space(s);
    return s->p < s->end ? *s->p : 0;
}

static bool take(struct sld_scan *s, char c)
{
    if (peek(s) != c)
        return false;
    s->p++;
    return true;
}

static bool take_word(struct sld_scan *s, struct sld_str word)
{
    if (s->bad || (size_t)(s->end - s->p) < word.n || memcmp(s->p, word.p, word.n) != 0)
        return false;
    s->p += word.n;
    return true;
}

static bool take_null(struct sld_scan *s)
{
    return peek(s) == 'n' && (take_word(s, SLD_STR("null")) || fail(s));
}

enum sld_scan_type sld_scan_type(struct sld_scan *s)
{
    char c = peek(s);
    switch (c) {
    case 'n':
        return SLD_SCAN_NULL;
    case 't':
    case 'f':
        return SLD_SCAN_BOOL;
    case '"':
        return SLD_SCAN_STRING;
    case '[':
        return SLD_SCAN_ARRAY;
    case '{':
        return SLD_SCAN_OBJECT;
    default:
        return c == '-' || (c >= '0' && c <= '9') ? SLD_SCAN_NUMBER : SLD_SCAN_BAD;
    }
}

// ---- Strings ----

static bool hex4(const char *p, const char *end, uint32_t *out)
{
    uint32_t v = 0;
    if (end - p < 4)
        return false;
    for (int i = 0; i < 4; i++) {
        int d = sld_hex_digit(p[i]);
        if (d < 0)
            return false;
        v = v << 4 | (uint32_t)d;
    }
    *out = v;
    return true;
}

// The character behind "\u" at *P; one half of a pair alone becomes U+FFFD, as Go's encoder has it.
static bool take_unicode(const char **p, const char *end, uint32_t *out)
{
    uint32_t low = 0;
    if (!hex4(*p, end, out))
        return false;
    *p += 4;
    if (*out < 0xd800 || *out > 0xdfff)
        return true;
    if (*out < 0xdc00 && end - *p >= 6 && (*p)[0] == '\\' && (*p)[1] == 'u' &&
        hex4(*p + 2, end, &low) && low >= 0xdc00 && low <= 0xdfff) {
        *p += 6;
        *out = 0x10000 + ((*out - 0xd800) << 10 | (low - 0xdc00));
        return true;
    }
    *out = 0xfffd;
    return true;
}

static bool unescape(struct sld_scan *s, struct sld_str raw, struct sld_str *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *p = raw.p, *end = raw.p + raw.n;
    char *text = sld_arena_alloc(s->a, raw.n + 1); // escapes are longer than what they stand for
    size_t n = 0;
    while (p < end) {
        if (*p != '\\') {
            text[n++] = *p++;
            continue;
        }
        if (++p == end)
            return false;
        char c = *p++;
        uint32_t code = 0;
        const char *at = memchr(from, c, sizeof(from) - 1);
        if (at)
            text[n++] = to[at - from];
        else if (c == 'u' && take_unicode(&p, end, &code))
            n += sld_utf8_put(text + n, code);
        else
            return false;
    }
    *out = sld_str_n(text, n);
    return true;
}

// The text between the quotes, as it stands; *ESCAPED tells whether it has escapes.
static bool take_quoted(struct sld_scan *s, struct sld_str *out, bool *escaped)
{
    if (!take(s, '"'))
        return fail(s);
    const char *from = s->p, *at = from;
    for (;;) {
        const char *quote = memchr(at, '"', (size_t)(s->end - at));
        if (!quote)
            return fail(s);
        size_t slashes = 0;
        while (quote - slashes > from && quote[-1 - (ptrdiff_t)slashes] == '\\')
            slashes++;
        at = quote + 1;
        if (slashes % 2 == 0) {
            *out = sld_str_n(from, (size_t)(quote - from));
            break;
        }
    }
    s->p = at;
    *escaped = memchr(out->p, '\\', out->n) != NULL;
    return true;
}

static bool has_control(struct sld_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if ((unsigned char)s.p[i] < ' ')
            return true;
    }
    return false;
}

static struct sld_str take_string(struct sld_scan *s)
{
    struct sld_str out = SLD_STR_NONE;
    bool escaped = false;
    if (!take_quoted(s, &out, &escaped))
        return SLD_STR_NONE;
    if (has_control(out) || (escaped && !unescape(s, out, &out)) || !sld_str_utf8(out, NULL)) {
        fail(s);
        return SLD_STR_NONE;
    }
    return out;
}

struct sld_str sld_scan_str(struct sld_scan *s)
{
    return take_null(s) ? SLD_STR_NONE : take_string(s);
}

// ---- Objects and arrays ----

static bool enter(struct sld_scan *s, char bracket)
{
    if (s->bad || s->depth == SLD_SCAN_DEPTH_MAX)
        return fail(s);
    uint64_t bit = UINT64_C(1) << s->depth;
    s->first |= bit;
    s->nothing &= ~bit;
    if (take_null(s))
        s->nothing |= bit;
    else if (!take(s, bracket))
        return fail(s);
    s->depth++;
    return true;
}

bool sld_scan_object(struct sld_scan *s)
{
    return enter(s, '{');
}

bool sld_scan_array(struct sld_scan *s)
{
    return enter(s, '[');
}

// Goes to the next element of the level; false at its end, which is left.
static bool next(struct sld_scan *s, char bracket)
{
    SLD_PRE(s->bad || s->depth > 0);
    if (s->bad)
        return false;
    uint64_t bit = UINT64_C(1) << (s->depth - 1);
    bool first = s->first & bit;
    s->first &= ~bit;
    if ((s->nothing & bit) || take(s, bracket)) {
        s->depth--;
        return false;
    }
    return first || take(s, ',') || fail(s);
}

bool sld_scan_member(struct sld_scan *s, struct sld_str *key)
{
    if (!next(s, '}'))
        return false;
    *key = take_string(s);
    return key->p && (take(s, ':') || fail(s));
}

bool sld_scan_item(struct sld_scan *s)
{
    return next(s, ']');
}

// ---- Numbers and words ----

static bool take_digits(struct sld_scan *s)
{
    const char *from = s->p;
    while (s->p < s->end && *s->p >= '0' && *s->p <= '9')
        s->p++;
    return s->p > from;
}

// A number by JSON's grammar.
static bool take_number(struct sld_scan *s, struct sld_str *out)
{
    skip_space(s);
    const char *from = s->p;
    if (s->p < s->end && *s->p == '-')
        s->p++;
    const char *digits = s->p;
    if (!take_digits(s) || (*digits == '0' && s->p - digits > 1))
        return fail(s);
    if (s->p < s->end && *s->p == '.') {
        s->p++;
        if (!take_digits(s))
            return fail(s);
    }
    if (s->p < s->end && (*s->p == 'e' || *s->p == 'E')) {
        s->p++;
        if (s->p < s->end && (*s->p == '+' || *s->p == '-'))
            s->p++;
        if (!take_digits(s))
            return fail(s);
    }
    *out = sld_str_n(from, (size_t)(s->p - from));
    return true;
}

struct sld_str sld_scan_number(struct sld_scan *s)
{
    struct sld_str text = SLD_STR_NONE;
    return take_null(s) || !take_number(s, &text) ? SLD_STR_NONE : text;
}

uint64_t sld_scan_u64(struct sld_scan *s)
{
    struct sld_str text;
    uint64_t v = 0;
    if (take_null(s) || !take_number(s, &text))
        return 0;
    return sld_str_u64(text, &v) ? v : (uint64_t)fail(s);
}

int64_t sld_scan_i64(struct sld_scan *s)
{
    struct sld_str text;
    int64_t v = 0;
    if (take_null(s) || !take_number(s, &text))
        return 0;
    return sld_str_i64(text, &v) ? v : (int64_t)fail(s);
}

bool sld_scan_bool(struct sld_scan *s)
{
    if (take_null(s))
        return false;
    char c = peek(s);
    if (c == 't' && take_word(s, SLD_STR("true")))
        return true;
    if (c != 'f' || !take_word(s, SLD_STR("false")))
        fail(s);
    return false;
}

// ---- Any value ----

void sld_scan_skip(struct sld_scan *s)
{
    struct sld_str text;
    bool escaped;
    switch (sld_scan_type(s)) {
    case SLD_SCAN_NULL:
        take_null(s);
        break;
    case SLD_SCAN_BOOL:
        sld_scan_bool(s);
        break;
    case SLD_SCAN_NUMBER:
        take_number(s, &text);
        break;
    case SLD_SCAN_STRING:
        take_quoted(s, &text, &escaped);
        break;
    case SLD_SCAN_ARRAY:
        sld_scan_array(s);
        while (sld_scan_item(s))
            sld_scan_skip(s);
        break;
    case SLD_SCAN_OBJECT:
        sld_scan_object(s);
        while (next(s, '}')) {
            if (take_quoted(s, &text, &escaped) && (take(s, ':') || fail(s)))
                sld_scan_skip(s);
        }
        break;
    default:
        fail(s);
    }
}

bool sld_scan_end(struct sld_scan *s)
{
    skip_space(s);
    return !s->bad && s->depth == 0 && s->p == s->end;
}
