// For tests of core/codec/scan.h.
#pragma once

#include "codec/scan.h"

// Reads all there is, strings too, which skipping does not look into.
static inline void read_all(struct sld_scan *s)
{
    struct sld_str key;
    switch (sld_scan_type(s)) {
    case SLD_SCAN_STRING:
        sld_scan_str(s);
        break;
    case SLD_SCAN_ARRAY:
        sld_scan_array(s);
        while (sld_scan_item(s))
            read_all(s);
        break;
    case SLD_SCAN_OBJECT:
        sld_scan_object(s);
        while (sld_scan_member(s, &key))
            read_all(s);
        break;
    default:
        sld_scan_skip(s);
    }
}
