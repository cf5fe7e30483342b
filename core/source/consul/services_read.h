// Private to the discovery of services: Consul's answers. Pure. [any]
#pragma once

#include "source/discovery.h"

// Of all checks of an instance and its node, the worst.
enum svc_health { SVC_PASSING, SVC_WARNING, SVC_CRITICAL };

// An instance as Consul tells of it. Slices of the answer, or in the arena.
struct svc_instance {
    struct sld_instance it; // without weight; the address may be a name
    enum svc_health health;
    uint32_t weight_passing, weight_warning;
};
// An answer of /v1/health/service or, CATALOG, of /v1/catalog/service, which says nothing of
// health. False: it is not one, or was cut.
bool svc_read_instances(struct sld_arena *a, struct sld_str body, bool catalog,
                        struct svc_instance **out, size_t *n);

// Calls FN for each service of an answer of /v1/catalog/services. False as above; FN may have been
// called then.
typedef void svc_service_fn(void *user, struct sld_str name, const struct sld_str *tags, size_t n);
bool svc_read_services(struct sld_arena *a, struct sld_str body, svc_service_fn *fn, void *user);

// Calls FN for each check of an answer of /v1/health/state; SERVICE is empty for one of the node.
typedef void svc_check_fn(void *user, struct sld_str node, struct sld_str check,
                          struct sld_str service);
bool svc_read_checks(struct sld_arena *a, struct sld_str body, svc_check_fn *fn, void *user);

// A list of texts, as of /v1/catalog/datacenters.
bool svc_read_texts(struct sld_arena *a, struct sld_str body, struct sld_str **out, size_t *n);

// Calls FN for each entry of an answer of /v1/internal/acl/authorize.
typedef void svc_right_fn(void *user, struct sld_str resource, struct sld_str segment, bool allow);
bool svc_read_rights(struct sld_arena *a, struct sld_str body, svc_right_fn *fn, void *user);
