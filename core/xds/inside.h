// The room's own state: one struct sld_xds, its views and its streams.
#pragma once

#include "xds/view.h"

// Made bytes that are held for a moment, at most.
enum { SLD_XDS_HELD_BYTES = 1024 * 1024, SLD_XDS_HELD_MAX = 256 };

struct sld_xds {
    struct sld_xds_options options;
    struct sld_xds_events events;
    struct sld_xds_builds builds;
    struct sld_map views;    // role -> view
    struct sld_map aliases;  // role -> struct sld_blob: the view it gets instead of its own
    struct sld_set shared[SLD_XDS_TYPE_COUNT]; // resources of view "" by name, a reference each
    struct sld_list streams;
    struct sld_xds_type_stat totals[SLD_XDS_TYPE_COUNT];
    uint64_t latency[SLD_XDS_BUCKETS];
    double latency_sum;
    bool serving;
    uint64_t due_ns;     // no stream wants to be looked at earlier; 0 = none at all
    struct {
        struct sld_obj *items[SLD_XDS_HELD_MAX]; // owners, a reference each
        size_t count, bytes;
        bool keep; // changes go out to several streams just now
    } opened;
    size_t early_bytes;  // of requests kept before serving, over all streams
};

// The view of ROLE, or the fallback for a role that never had one.
struct sld_xds_view *sld_xds_view_for(struct sld_xds *x, struct sld_str role);
// A client of BUILD is there now: if it is the first, tells what of V it is known to refuse.
void sld_xds_tell_known(struct sld_xds_view *v, const struct sld_xds_build *build);
// Somebody looks at V: shared resources are laid under it if they are not yet. (xds.c)
void sld_xds_view_lay(struct sld_xds_view *v);
// Some build refused R just now: its entries are judged anew, and the streams that have a record of it settle it.
void sld_xds_rejudge(struct sld_xds *x, const struct sld_xds_resource *r, uint64_t now);
