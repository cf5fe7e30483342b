// codec/scan: reads JSON from one end to the other and builds nothing: for large answers of other
// programs, of which a few members matter.
//
//   struct sld_scan s;
//   sld_scan_init(&s, text, a);
//   sld_scan_array(&s);
//   while (sld_scan_item(&s)) {
//       sld_scan_object(&s);
//       while (sld_scan_member(&s, &key)) {
//           if (sld_str_eq(key, SLD_STR("Name")))
//               name = sld_scan_str(&s);
//           else
//               sld_scan_skip(&s);
//       }
//   }
//   if (!sld_scan_end(&s))
//       ... the text is no JSON, was cut, or is not of this shape
//
// After the first mistake every call says no and gives nothing, so one look at the end suffices.
// [any]
#pragma once

#include "base/base.h"

enum { SLD_SCAN_DEPTH_MAX = 64 };

struct sld_scan {
    const char *p, *end;
    struct sld_arena *a; // for strings with escapes; others are slices of the text
    uint64_t first;      // bit per level: nothing was read in it yet
    uint64_t nothing;    // bit per level: it is a null
    unsigned depth;
    bool bad;
    const char *bad_at;  // where the mistake was seen
};

enum sld_scan_type {
    SLD_SCAN_BAD, // also at the end of the text
    SLD_SCAN_NULL,
    SLD_SCAN_BOOL,
    SLD_SCAN_NUMBER,
    SLD_SCAN_STRING,
    SLD_SCAN_ARRAY,
    SLD_SCAN_OBJECT,
};

// TEXT and A outlive S and what it gave.
void sld_scan_init(struct sld_scan *s, struct sld_str text, struct sld_arena *a);
// What comes next.
enum sld_scan_type sld_scan_type(struct sld_scan *s);
// Enters an object, and goes to its next member, whose value has to be read or skipped; false
// behind the last. A null is an empty object.
bool sld_scan_object(struct sld_scan *s);
bool sld_scan_member(struct sld_scan *s, struct sld_str *key);
// The same for an array.
bool sld_scan_array(struct sld_scan *s);
bool sld_scan_item(struct sld_scan *s);
// A string; absent for null.
struct sld_str sld_scan_str(struct sld_scan *s);
// A number's text; absent for null.
struct sld_str sld_scan_number(struct sld_scan *s);
// A whole number that fits, true or false; 0 or false for null.
uint64_t sld_scan_u64(struct sld_scan *s);
int64_t sld_scan_i64(struct sld_scan *s);
bool sld_scan_bool(struct sld_scan *s);
// Any value.
void sld_scan_skip(struct sld_scan *s);
// True when all of the text was read and nothing was wrong.
bool sld_scan_end(struct sld_scan *s);
