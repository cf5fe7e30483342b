// Lua's patterns. The standard library's matcher cannot be interrupted, and a pattern may take longer
// than the universe lasts: this one counts its steps.
#include "plugin/inside.h"

#include <ctype.h>

enum { DEPTH_MAX = 190, SPEND_EVERY = 256 };

static void step(struct pl_match *m)
{
    if (++m->steps < SPEND_EVERY)
        return;
    m->steps = 0;
    pl_spend(m->L, SPEND_EVERY);
}

// ---- One character ----

static const char *class_end(struct pl_match *m, const char *p)
{
    if (*p++ == '%') {
        if (p == m->pattern_end)
            pl_error(m->L, "malformed pattern (ends with '%%')");
        return p + 1;
    }
    if (p[-1] != '[')
        return p;
    if (p < m->pattern_end && *p == '^')
        p++;
    do { // a ] that comes first stands for itself
        if (p == m->pattern_end)
            pl_error(m->L, "malformed pattern (missing ']')");
        if (*p++ == '%' && p < m->pattern_end)
            p++;
    } while (p == m->pattern_end || *p != ']');
    return p + 1;
}

static bool in_class(int c, int cl)
{
    bool r;
    switch (tolower(cl)) {
    case 'a':
        r = isalpha(c);
        break;
    case 'c':
        r = iscntrl(c);
        break;
    case 'd':
        r = isdigit(c);
        break;
    case 'g':
        r = isgraph(c);
        break;
    case 'l':
        r = islower(c);
        break;
    case 'p':
        r = ispunct(c);
        break;
    case 's':
        r = isspace(c);
        break;
    case 'u':
        r = isupper(c);
        break;
    case 'w':
        r = isalnum(c);
        break;
    case 'x':
        r = isxdigit(c);
        break;
    default:
        return cl == c;
    }
    return isupper(cl) ? !r : r;
}

// Whether C is in the set from P, its [, to LAST, its ].
static bool in_set(struct pl_match *m, int c, const char *p, const char *last)
{
    bool yes = true;
    if (p[1] == '^') {
        yes = false;
        p++;
    }
    while (++p < last) {
        step(m);
        if (*p == '%') {
            p++;
            if (in_class(c, (unsigned char)*p))
                return yes;
        } else if (p[1] == '-' && p + 2 < last) {
            p += 2;
            if ((unsigned char)p[-2] <= c && c <= (unsigned char)*p)
                return yes;
        } else if ((unsigned char)*p == c) {
            return yes;
        }
    }
    return !yes;
}

static bool one(struct pl_match *m, const char *s, const char *p, const char *ep)
{
    step(m);
    if (s >= m->end)
        return false;
    int c = (unsigned char)*s;
    switch (*p) {
    case '.':
        return true;
    case '%':
        return in_class(c, (unsigned char)p[1]);
    case '[':
        return in_set(m, c, p, ep - 1);
    default:
        return (unsigned char)*p == c;
    }
}

// ---- Items ----

static const char *balance(struct pl_match *m, const char *s, const char *p)
{
    if (p + 1 >= m->pattern_end)
        pl_error(m->L, "malformed pattern (missing arguments to '%%b')");
    if (s >= m->end || *s != *p)
        return NULL;
    size_t open = 1;
    while (++s < m->end) {
        step(m);
        if (*s == p[1]) {
            if (--open == 0)
                return s + 1;
        } else if (*s == p[0]) {
            open++;
        }
    }
    return NULL;
}

static const char *most(struct pl_match *m, const char *s, const char *p, const char *ep)
{
    ptrdiff_t i = 0;
    while (one(m, s + i, p, ep))
        i++;
    for (; i >= 0; i--) {
        const char *r = pl_pattern_match(m, s + i, ep + 1);
        if (r)
            return r;
    }
    return NULL;
}

static const char *least(struct pl_match *m, const char *s, const char *p, const char *ep)
{
    for (;; s++) {
        const char *r = pl_pattern_match(m, s, ep + 1);
        if (r)
            return r;
        if (!one(m, s, p, ep))
            return NULL;
    }
}

static const char *open_capture(struct pl_match *m, const char *s, const char *p, int what)
{
    if (m->level >= PL_CAPTURES_MAX)
        pl_error(m->L, "too many captures");
    m->capture[m->level].at = s;
    m->capture[m->level++].len = what;
    const char *r = pl_pattern_match(m, s, p);
    if (!r)
        m->level--;
    return r;
}

static const char *close_capture(struct pl_match *m, const char *s, const char *p)
{
    unsigned l = m->level;
    while (l-- > 0 && m->capture[l].len != PL_CAP_OPEN)
        ;
    if (l >= m->level)
        pl_error(m->L, "invalid pattern capture");
    m->capture[l].len = s - m->capture[l].at;
    const char *r = pl_pattern_match(m, s, p);
    if (!r)
        m->capture[l].len = PL_CAP_OPEN;
    return r;
}

static const char *back_reference(struct pl_match *m, const char *s, int digit)
{
    unsigned l = (unsigned)(digit - '1');
    if (digit < '1' || l >= m->level || m->capture[l].len == PL_CAP_OPEN)
        pl_error(m->L, "invalid capture index %%%c in pattern", digit);
    size_t n = m->capture[l].len > 0 ? (size_t)m->capture[l].len : 0;
    pl_spend(m->L, n / 16);
    if ((size_t)(m->end - s) < n || memcmp(m->capture[l].at, s, n) != 0)
        return NULL;
    return s + n;
}

// The border item %f[set] at P, behind the f.
static bool at_border(struct pl_match *m, const char *s, const char *p, const char *ep)
{
    int before = s == m->subject ? 0 : (unsigned char)s[-1], c = s < m->end ? (unsigned char)*s : 0;
    return !in_set(m, before, p, ep - 1) && in_set(m, c, p, ep - 1);
}

// Items that are no single character: P is moved behind one of them, or *R gets what the rest gives.
// False: there is none at P.
static bool special(struct pl_match *m, const char **s, const char **p, const char **r)
{
    const char *at = *p;
    *r = NULL;
    switch (*at) {
    case '(':
        *r = at + 1 < m->pattern_end && at[1] == ')' ? open_capture(m, *s, at + 2, PL_CAP_PLACE)
                                                     : open_capture(m, *s, at + 1, PL_CAP_OPEN);
        *p = NULL;
        return true;
    case ')':
        *r = close_capture(m, *s, at + 1);
        *p = NULL;
        return true;
    case '$':
        if (at + 1 != m->pattern_end)
            return false;
        *r = *s == m->end ? *s : NULL;
        *p = NULL;
        return true;
    case '%':
        break;
    default:
        return false;
    }
    int what = at + 1 < m->pattern_end ? at[1] : 0;
    if (what == 'b') {
        *s = balance(m, *s, at + 2);
        *p = *s ? at + 4 : NULL;
    } else if (what == 'f') {
        at += 2;
        if (at >= m->pattern_end || *at != '[')
            pl_error(m->L, "missing '[' after '%%f' in pattern");
        const char *ep = class_end(m, at);
        *p = at_border(m, *s, at, ep) ? ep : NULL;
    } else if (what >= '0' && what <= '9') {
        *s = back_reference(m, *s, what);
        *p = *s ? at + 2 : NULL;
    } else {
        return false;
    }
    return true;
}

const char *pl_pattern_match(struct pl_match *m, const char *s, const char *p)
{
    if (++m->depth > DEPTH_MAX)
        pl_error(m->L, "pattern too complex");
    const char *found = NULL;
    for (;;) {
        step(m);
        if (p == m->pattern_end) {
            found = s;
            break;
        }
        if (special(m, &s, &p, &found)) {
            if (!p)
                break;
            continue;
        }
        const char *ep = class_end(m, p);
        char suffix = ep < m->pattern_end ? *ep : 0;
        if (suffix == '*' || suffix == '-') {
            found = suffix == '*' ? most(m, s, p, ep) : least(m, s, p, ep);
            break;
        }
        bool fits = one(m, s, p, ep);
        if (suffix == '+') {
            found = fits ? most(m, s + 1, p, ep) : NULL;
            break;
        }
        if (suffix == '?') {
            found = fits ? pl_pattern_match(m, s + 1, ep + 1) : NULL;
            if (found)
                break;
            p = ep + 1;
            continue;
        }
        if (!fits)
            break;
        s++;
        p = ep;
    }
    m->depth--;
    return found;
}
