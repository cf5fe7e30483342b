// Consul's answers about services.
#include "source/consul/services_read.h"

#include "codec/scan.h"

static bool is(struct sld_str key, const char *name)
{
    return sld_str_eq(key, sld_str_c(name));
}

static struct sld_str *read_list(struct sld_scan *s, size_t *n)
{
    struct sld_str *out = NULL;
    *n = 0;
    sld_scan_array(s);
    while (sld_scan_item(s)) {
        struct sld_str text = sld_scan_str(s);
        if (text.n)
            SLD_PUSH(s->a, out, *n, text);
    }
    return out;
}

// Values that say nothing are left out: Consul gives every node some.
static struct sld_label *read_labels(struct sld_scan *s, size_t *n)
{
    struct sld_label *out = NULL;
    struct sld_str key;
    *n = 0;
    sld_scan_object(s);
    while (sld_scan_member(s, &key)) {
        struct sld_label l = {key, sld_scan_str(s)};
        if (l.value.n)
            SLD_PUSH(s->a, out, *n, l);
    }
    return out;
}

static uint32_t small(uint64_t v)
{
    return v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
}

static void read_weights(struct sld_scan *s, struct svc_instance *i)
{
    struct sld_str key;
    sld_scan_object(s);
    while (sld_scan_member(s, &key)) {
        if (is(key, "Passing"))
            i->weight_passing = small(sld_scan_u64(s));
        else if (is(key, "Warning"))
            i->weight_warning = small(sld_scan_u64(s));
        else
            sld_scan_skip(s);
    }
}

static void read_node(struct sld_scan *s, struct svc_instance *i, struct sld_str *address)
{
    struct sld_str key;
    sld_scan_object(s);
    while (sld_scan_member(s, &key)) {
        if (is(key, "Node"))
            i->it.node = sld_scan_str(s);
        else if (is(key, "Address"))
            *address = sld_scan_str(s);
        else if (is(key, "Datacenter"))
            i->it.datacenter = sld_scan_str(s);
        else if (is(key, "Meta"))
            i->it.node_meta = read_labels(s, &i->it.node_meta_count);
        else
            sld_scan_skip(s);
    }
}

static void read_service(struct sld_scan *s, struct svc_instance *i)
{
    struct sld_str key;
    sld_scan_object(s);
    while (sld_scan_member(s, &key)) {
        if (is(key, "ID"))
            i->it.id = sld_scan_str(s);
        else if (is(key, "Address"))
            i->it.address = sld_scan_str(s);
        else if (is(key, "Port"))
            i->it.port = small(sld_scan_u64(s));
        else if (is(key, "Tags"))
            i->it.tags = read_list(s, &i->it.tag_count);
        else if (is(key, "Meta"))
            i->it.meta = read_labels(s, &i->it.meta_count);
        else if (is(key, "Weights"))
            read_weights(s, i);
        else
            sld_scan_skip(s);
    }
}

static enum svc_health health_of(struct sld_str status)
{
    if (is(status, "passing"))
        return SVC_PASSING;
    return is(status, "warning") ? SVC_WARNING : SVC_CRITICAL;
}

// Maintenance is a check that fails, too.
static void read_health(struct sld_scan *s, struct svc_instance *i)
{
    struct sld_str key;
    sld_scan_array(s);
    while (sld_scan_item(s)) {
        enum svc_health h = SVC_PASSING;
        sld_scan_object(s);
        while (sld_scan_member(s, &key)) {
            if (is(key, "Status"))
                h = health_of(sld_scan_str(s));
            else
                sld_scan_skip(s);
        }
        i->health = h > i->health ? h : i->health;
    }
}

// Node, service and checks side by side.
static void read_healthy(struct sld_scan *s, struct svc_instance *i, struct sld_str *address)
{
    struct sld_str key;
    while (sld_scan_member(s, &key)) {
        if (is(key, "Node"))
            read_node(s, i, address);
        else if (is(key, "Service"))
            read_service(s, i);
        else if (is(key, "Checks"))
            read_health(s, i);
        else
            sld_scan_skip(s);
    }
}

static void read_catalogued(struct sld_scan *s, struct svc_instance *i, struct sld_str *address)
{
    struct sld_str key;
    while (sld_scan_member(s, &key)) {
        if (is(key, "Node"))
            i->it.node = sld_scan_str(s);
        else if (is(key, "Address"))
            *address = sld_scan_str(s);
        else if (is(key, "Datacenter"))
            i->it.datacenter = sld_scan_str(s);
        else if (is(key, "NodeMeta"))
            i->it.node_meta = read_labels(s, &i->it.node_meta_count);
        else if (is(key, "ServiceID"))
            i->it.id = sld_scan_str(s);
        else if (is(key, "ServiceAddress"))
            i->it.address = sld_scan_str(s);
        else if (is(key, "ServicePort"))
            i->it.port = small(sld_scan_u64(s));
        else if (is(key, "ServiceTags"))
            i->it.tags = read_list(s, &i->it.tag_count);
        else if (is(key, "ServiceMeta"))
            i->it.meta = read_labels(s, &i->it.meta_count);
        else if (is(key, "ServiceWeights"))
            read_weights(s, i);
        else
            sld_scan_skip(s);
    }
}

bool svc_read_instances(struct sld_arena *a, struct sld_str body, bool catalog,
                        struct svc_instance **out, size_t *n)
{
    struct sld_scan s;
    sld_scan_init(&s, body, a);
    *out = NULL;
    *n = 0;
    sld_scan_array(&s);
    while (sld_scan_item(&s)) {
        struct svc_instance i = {.weight_passing = 1, .weight_warning = 1};
        struct sld_str node_address = SLD_STR_NONE;
        sld_scan_object(&s);
        if (catalog)
            read_catalogued(&s, &i, &node_address);
        else
            read_healthy(&s, &i, &node_address);
        if (!i.it.address.n) // where the node is
            i.it.address = node_address;
        SLD_PUSH(a, *out, *n, i);
    }
    return sld_scan_end(&s);
}

bool svc_read_services(struct sld_arena *a, struct sld_str body, svc_service_fn *fn, void *user)
{
    struct sld_scan s;
    struct sld_str name;
    sld_scan_init(&s, body, a);
    sld_scan_object(&s);
    while (sld_scan_member(&s, &name)) {
        size_t n;
        struct sld_str *tags = read_list(&s, &n);
        if (!s.bad)
            fn(user, name, tags, n);
    }
    return sld_scan_end(&s);
}

bool svc_read_checks(struct sld_arena *a, struct sld_str body, svc_check_fn *fn, void *user)
{
    struct sld_scan s;
    struct sld_str key;
    sld_scan_init(&s, body, a);
    sld_scan_array(&s);
    while (sld_scan_item(&s)) {
        struct sld_str node = SLD_STR_NONE, check = SLD_STR_NONE, service = SLD_STR_NONE;
        sld_scan_object(&s);
        while (sld_scan_member(&s, &key)) {
            if (is(key, "Node"))
                node = sld_scan_str(&s);
            else if (is(key, "CheckID"))
                check = sld_scan_str(&s);
            else if (is(key, "ServiceName"))
                service = sld_scan_str(&s);
            else
                sld_scan_skip(&s);
        }
        if (!s.bad)
            fn(user, node, check, service);
    }
    return sld_scan_end(&s);
}

bool svc_read_texts(struct sld_arena *a, struct sld_str body, struct sld_str **out, size_t *n)
{
    struct sld_scan s;
    sld_scan_init(&s, body, a);
    *out = read_list(&s, n);
    return sld_scan_end(&s);
}

bool svc_read_rights(struct sld_arena *a, struct sld_str body, svc_right_fn *fn, void *user)
{
    struct sld_scan s;
    struct sld_str key;
    sld_scan_init(&s, body, a);
    sld_scan_array(&s);
    while (sld_scan_item(&s)) {
        struct sld_str resource = SLD_STR_NONE, segment = SLD_STR_NONE;
        bool allow = false;
        sld_scan_object(&s);
        while (sld_scan_member(&s, &key)) {
            if (is(key, "Resource"))
                resource = sld_scan_str(&s);
            else if (is(key, "Segment"))
                segment = sld_scan_str(&s);
            else if (is(key, "Allow"))
                allow = sld_scan_bool(&s);
            else
                sld_scan_skip(&s);
        }
        if (!s.bad)
            fn(user, resource, segment, allow);
    }
    return sld_scan_end(&s);
}
