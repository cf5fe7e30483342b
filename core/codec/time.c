// Points in time and durations as text.
#include "codec/time.h"

#include <inttypes.h>
#include <stdio.h>

#include "codec/text.h"

// Days since 1970-01-01 of a date in the proleptic Gregorian calendar.
static int64_t days_of(int64_t y, int64_t m, int64_t d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
           719468;
}

static bool take_number(struct sld_str *s, size_t digits, int64_t *out)
{
    uint64_t v = 0;
    if (s->n < digits)
        return false;
    for (size_t i = 0; i < digits; i++) {
        if (s->p[i] < '0' || s->p[i] > '9')
            return false;
        v = v * 10 + (uint64_t)(s->p[i] - '0');
    }
    *s = sld_str_sub(*s, digits, s->n);
    *out = (int64_t)v;
    return true;
}

static bool take_char(struct sld_str *s, const char *choices)
{
    if (s->n == 0 || !s->p[0] || !strchr(choices, s->p[0]))
        return false;
    *s = sld_str_sub(*s, 1, s->n);
    return true;
}

static bool take_fraction(struct sld_str *s, int32_t *nanos)
{
    int32_t unit = 100000000;
    *nanos = 0;
    if (!take_char(s, "."))
        return true;
    size_t digits = 0;
    for (int64_t d; take_number(s, 1, &d); unit /= 10, digits++)
        *nanos += (int32_t)d * unit;
    return digits > 0 && digits <= 9;
}

static bool take_zone(struct sld_str *s, int64_t *offset)
{
    int64_t h, m;
    *offset = 0;
    if (take_char(s, "Zz"))
        return true;
    bool minus = s->n && s->p[0] == '-';
    if (!take_char(s, "+-") || !take_number(s, 2, &h) || !take_char(s, ":") ||
        !take_number(s, 2, &m) || h > 23 || m > 59)
        return false;
    *offset = (h * 60 + m) * (minus ? -60 : 60);
    return true;
}

bool sld_time_parse(struct sld_str s, int64_t *seconds, int32_t *nanos)
{
    static const int month_days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t y, mo, d, h, mi, sec, offset;
    if (!take_number(&s, 4, &y) || !take_char(&s, "-") || !take_number(&s, 2, &mo) ||
        !take_char(&s, "-") || !take_number(&s, 2, &d) || !take_char(&s, "Tt ") ||
        !take_number(&s, 2, &h) || !take_char(&s, ":") || !take_number(&s, 2, &mi) ||
        !take_char(&s, ":") || !take_number(&s, 2, &sec) || !take_fraction(&s, nanos) ||
        !take_zone(&s, &offset) || s.n)
        return false;
    bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    if (y < 1 || mo < 1 || mo > 12 || d < 1 || d > month_days[mo - 1] ||
        (mo == 2 && d == 29 && !leap) || h > 23 || mi > 59 || sec > 59)
        return false;
    *seconds = days_of(y, mo, d) * 86400 + h * 3600 + mi * 60 + sec - offset;
    return true;
}

static void print_fraction(struct sld_buf *out, uint32_t nanos)
{
    char text[16];
    if (!nanos)
        return;
    int n = snprintf(text, sizeof(text), ".%09" PRIu32, nanos);
    while (text[n - 1] == '0')
        n--;
    sld_buf_add(out, (struct sld_str){text, (size_t)n});
}

void sld_time_print(struct sld_buf *out, int64_t seconds, int32_t nanos)
{
    int64_t days = seconds / 86400, rest = seconds % 86400;
    if (rest < 0) {
        rest += 86400;
        days--;
    }
    // The date of a day number, by eras of 400 years that begin in March.
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    int64_t day = doy - (153 * mp + 2) / 5 + 1, month = mp < 10 ? mp + 3 : mp - 9;
    int64_t year = yoe + era * 400 + (month <= 2);
    sld_buf_addf(out,
                 "%04" PRId64 "-%02" PRId64 "-%02" PRId64 "T%02" PRId64 ":%02" PRId64 ":%02" PRId64,
                 year, month, day, rest / 3600, rest / 60 % 60, rest % 60);
    print_fraction(out, nanos < 0 ? 0 : (uint32_t)nanos);
    sld_buf_addc(out, 'Z');
}

void time_print_duration(struct sld_buf *out, int64_t seconds, int32_t nanos)
{
    bool minus = seconds < 0 || nanos < 0;
    uint64_t s = seconds < 0 ? 0 - (uint64_t)seconds : (uint64_t)seconds;
    uint32_t ns = nanos < 0 ? 0 - (uint32_t)nanos : (uint32_t)nanos;
    sld_buf_addf(out, "%s%" PRIu64, minus ? "-" : "", s);
    print_fraction(out, ns);
    sld_buf_addc(out, 's');
}
