// loadBalancerConfig and subsets of clusters (gloo-compat 1.7, 3.9).
#include "translate/cluster.h"
#include "translate/service.h"

typedef Env__Cluster__Cluster__CommonLbConfig common_lb;

static common_lb *common(struct tr_build *b)
{
    if (!b->c->common_lb_config)
        b->c->common_lb_config = SLD_MSG(b->tr->arena, Env__Cluster__Cluster__CommonLbConfig,
                                         env__cluster__cluster__common_lb_config);
    return b->c->common_lb_config;
}

static Env__Type__Percent *percent(struct sld_arena *a, const Google__Protobuf__DoubleValue *v)
{
    Env__Type__Percent *p = SLD_MSG(a, Env__Type__Percent, env__type__percent);
    p->value = v->value;
    return p;
}

static Env__Cluster__Cluster__SlowStartConfig *
slow_start(struct tr_build *b, const Gloo__LoadBalancerConfig__SlowStartConfig *from)
{
    struct sld_arena *a = b->tr->arena;
    Env__Cluster__Cluster__SlowStartConfig *s = SLD_MSG(a, Env__Cluster__Cluster__SlowStartConfig,
                                                        env__cluster__cluster__slow_start_config);
    s->slow_start_window = from->slow_start_window;
    if (from->aggression) {
        s->aggression = SLD_MSG(a, Env__Core__RuntimeDouble, env__core__runtime_double);
        s->aggression->default_value = from->aggression->value;
        s->aggression->runtime_key =
            sld_arena_cstr(a, sld_arena_fmt(a, "upstream.%s.slowStart.aggression", b->c->name));
    }
    if (from->min_weight_percent)
        s->min_weight_percent = percent(a, from->min_weight_percent);
    return s;
}

static void round_robin(struct tr_build *b, const Gloo__LoadBalancerConfig__RoundRobin *from)
{
    b->c->lb_policy = ENV__CLUSTER__CLUSTER__LB_POLICY__ROUND_ROBIN;
    if (!from->slow_start_config)
        return;
    b->c->lb_config_case = ENV__CLUSTER__CLUSTER__LB_CONFIG_ROUND_ROBIN_LB_CONFIG;
    b->c->round_robin_lb_config = SLD_MSG(b->tr->arena, Env__Cluster__Cluster__RoundRobinLbConfig,
                                          env__cluster__cluster__round_robin_lb_config);
    b->c->round_robin_lb_config->slow_start_config = slow_start(b, from->slow_start_config);
}

static void least_request(struct tr_build *b, const Gloo__LoadBalancerConfig__LeastRequest *from)
{
    b->c->lb_policy = ENV__CLUSTER__CLUSTER__LB_POLICY__LEAST_REQUEST;
    if (!from->choice_count && !from->slow_start_config)
        return;
    Env__Cluster__Cluster__LeastRequestLbConfig *l =
        SLD_MSG(b->tr->arena, Env__Cluster__Cluster__LeastRequestLbConfig,
                env__cluster__cluster__least_request_lb_config);
    if (from->choice_count)
        l->choice_count = sld_msg_u32(b->tr->arena, from->choice_count);
    if (from->slow_start_config)
        l->slow_start_config = slow_start(b, from->slow_start_config);
    b->c->lb_config_case = ENV__CLUSTER__CLUSTER__LB_CONFIG_LEAST_REQUEST_LB_CONFIG;
    b->c->least_request_lb_config = l;
}

static void ring_hash(struct tr_build *b, const Gloo__LoadBalancerConfig__RingHash *from)
{
    b->c->lb_policy = ENV__CLUSTER__CLUSTER__LB_POLICY__RING_HASH;
    const Gloo__LoadBalancerConfig__RingHashConfig *sizes = from->ring_hash_config;
    if (!sizes)
        return;
    struct sld_arena *a = b->tr->arena;
    Env__Cluster__Cluster__RingHashLbConfig *r = SLD_MSG(
        a, Env__Cluster__Cluster__RingHashLbConfig, env__cluster__cluster__ring_hash_lb_config);
    if (sizes->minimum_ring_size)
        r->minimum_ring_size = sld_msg_u64(a, sizes->minimum_ring_size);
    if (sizes->maximum_ring_size)
        r->maximum_ring_size = sld_msg_u64(a, sizes->maximum_ring_size);
    b->c->lb_config_case = ENV__CLUSTER__CLUSTER__LB_CONFIG_RING_HASH_LB_CONFIG;
    b->c->ring_hash_lb_config = r;
}

static void policy(struct tr_build *b, const Gloo__LoadBalancerConfig *from)
{
    switch (from->type_case) {
    case GLOO__LOAD_BALANCER_CONFIG__TYPE_ROUND_ROBIN:
        round_robin(b, from->round_robin);
        break;
    case GLOO__LOAD_BALANCER_CONFIG__TYPE_LEAST_REQUEST:
        least_request(b, from->least_request);
        break;
    case GLOO__LOAD_BALANCER_CONFIG__TYPE_RANDOM:
        b->c->lb_policy = ENV__CLUSTER__CLUSTER__LB_POLICY__RANDOM;
        break;
    case GLOO__LOAD_BALANCER_CONFIG__TYPE_RING_HASH:
        ring_hash(b, from->ring_hash);
        break;
    case GLOO__LOAD_BALANCER_CONFIG__TYPE_MAGLEV:
        b->c->lb_policy = ENV__CLUSTER__CLUSTER__LB_POLICY__MAGLEV;
        break;
    default:
        break;
    }
}

static void common_settings(struct tr_build *b, const Gloo__LoadBalancerConfig *from)
{
    struct sld_arena *a = b->tr->arena;
    if (from->healthy_panic_threshold)
        common(b)->healthy_panic_threshold = percent(a, from->healthy_panic_threshold);
    if (from->update_merge_window)
        common(b)->update_merge_window = from->update_merge_window;
    if (from->close_connections_on_host_set_change)
        common(b)->close_connections_on_host_set_change = true;
    bool by_name = from->use_hostname_for_hashing && from->use_hostname_for_hashing->value;
    bool named = b->c->type == ENV__CLUSTER__CLUSTER__DISCOVERY_TYPE__STRICT_DNS ||
                 b->u->upstream_type_case == GLOO__UPSTREAM__UPSTREAM_TYPE_CONSUL;
    if (by_name && !named) {
        sld_report_add(b->report, SLD_NOTE, SLD_OPTION_UNUSED,
                       SLD_STR("loadBalancerConfig.useHostnameForHashing"),
                       "the hosts have no names to hash, so their addresses are hashed; remove it, "
                       "or use names");
    } else if (by_name) {
        common(b)->consistent_hashing_lb_config =
            SLD_MSG(a, Env__Cluster__Cluster__CommonLbConfig__ConsistentHashingLbConfig,
                    env__cluster__cluster__common_lb_config__consistent_hashing_lb_config);
        common(b)->consistent_hashing_lb_config->use_hostname_for_hashing = true;
    }
    if (from->locality_config_case ==
        GLOO__LOAD_BALANCER_CONFIG__LOCALITY_CONFIG_LOCALITY_WEIGHTED_LB_CONFIG) {
        common(b)->locality_config_specifier_case =
            ENV__CLUSTER__CLUSTER__COMMON_LB_CONFIG__LOCALITY_CONFIG_SPECIFIER_LOCALITY_WEIGHTED_LB_CONFIG;
        common(b)->locality_weighted_lb_config =
            SLD_MSG(a, Env__Cluster__Cluster__CommonLbConfig__LocalityWeightedLbConfig,
                    env__cluster__cluster__common_lb_config__locality_weighted_lb_config);
    }
}

// ---- Subsets ----

static Google__Protobuf__Struct *subset_values(struct sld_arena *a, const Gloo__Subset *from)
{
    Google__Protobuf__Struct *s = SLD_MSG(a, Google__Protobuf__Struct, google__protobuf__struct);
    for (size_t i = 0; i < from->n_values; i++) {
        Google__Protobuf__Struct__FieldsEntry *f = SLD_MSG(a, Google__Protobuf__Struct__FieldsEntry,
                                                           google__protobuf__struct__fields_entry);
        f->key = from->values[i]->key;
        f->value = SLD_MSG(a, Google__Protobuf__Value, google__protobuf__value);
        f->value->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
        f->value->string_value = from->values[i]->value;
        SLD_PUSH(a, s->fields, s->n_fields, f);
    }
    return s;
}

static void subsets(struct tr_build *b, const Gloo__SubsetSpec *from)
{
    struct sld_arena *a = b->tr->arena;
    Env__Cluster__Cluster__LbSubsetConfig *s =
        SLD_MSG(a, Env__Cluster__Cluster__LbSubsetConfig, env__cluster__cluster__lb_subset_config);
    switch (from->fallbackpolicy) {
    case GLOO__SUBSET_SPEC__FALLBACK_POLICY__DEFAULT_SUBSET:
        s->fallback_policy =
            ENV__CLUSTER__CLUSTER__LB_SUBSET_CONFIG__LB_SUBSET_FALLBACK_POLICY__DEFAULT_SUBSET;
        break;
    case GLOO__SUBSET_SPEC__FALLBACK_POLICY__NO_FALLBACK:
        s->fallback_policy =
            ENV__CLUSTER__CLUSTER__LB_SUBSET_CONFIG__LB_SUBSET_FALLBACK_POLICY__NO_FALLBACK;
        break;
    default:
        s->fallback_policy =
            ENV__CLUSTER__CLUSTER__LB_SUBSET_CONFIG__LB_SUBSET_FALLBACK_POLICY__ANY_ENDPOINT;
        break;
    }
    if (from->default_subset)
        s->default_subset = subset_values(a, from->default_subset);
    for (size_t i = 0; i < from->n_selectors; i++) {
        Env__Cluster__Cluster__LbSubsetConfig__LbSubsetSelector *sel =
            SLD_MSG(a, Env__Cluster__Cluster__LbSubsetConfig__LbSubsetSelector,
                    env__cluster__cluster__lb_subset_config__lb_subset_selector);
        sel->keys = from->selectors[i]->keys;
        sel->n_keys = from->selectors[i]->n_keys;
        sel->single_host_per_subset = from->selectors[i]->single_host_per_subset;
        SLD_PUSH(a, s->subset_selectors, s->n_subset_selectors, sel);
    }
    b->c->lb_subset_config = s;
}

void tr_cluster_lb(struct tr_build *b)
{
    const Gloo__LoadBalancerConfig *from = b->u->load_balancer_config;
    if (from) {
        policy(b, from);
        common_settings(b, from);
    }
    const Gloo__SubsetSpec *spec = tr_subset_spec(b->tr->arena, b->u);
    if (spec && spec->n_selectors)
        subsets(b, spec);
}
